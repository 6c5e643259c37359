"""Megatron's compiled dataset helper, found where it is instead of compiled anew.

``megatron.core.datasets.utils.compile_helpers`` runs make on every start and ends the process if that fails. It must
fail in the wheels, which hold the compiled helper but no makefile, and in a checkout without pybind11.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Final

NAME: Final = "megatron.core.datasets.helpers_cpp"


def use_compiled_helpers() -> None:
    """Import the compiled helper and spare Megatron its compilation, if there is one to be found.

    A checkout's own helper is preferred; without one, that of an installed megatron-core serves, whose functions are
    the same.
    """
    try:
        importlib.import_module(NAME)
    except ImportError:
        import megatron

        # It may lie in another portion of the namespace package.
        spec = PathFinder.find_spec(NAME, [str(Path(portion, "core", "datasets")) for portion in megatron.__path__])
        if spec is None or spec.loader is None:
            return
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        sys.modules[NAME] = module
    from megatron.core.datasets import utils

    utils.compile_helpers = lambda: None
