"""Counts of the inputs tried: ``make fuzz`` runs the long form (``FUZZ=long pytest tests/fuzz``)."""

from functools import partial

import counting
import pytest
from fuzzing import bounded


@pytest.fixture(scope="session")
def tried():
    """To be called for each input, with what kind of input it is."""
    return partial(counting.count, "tried")


@pytest.fixture(autouse=True)
def _bounds():
    with bounded():
        yield
