"""From a corpus to a prepared dataset: raw view, compressed views, manifest. Parallel, and never half done."""

from .job import Job
from .recipe import Recipe
from .run import prepare

__all__ = ["Job", "Recipe", "prepare"]
