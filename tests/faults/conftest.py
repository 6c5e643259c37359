"""Counts of the faults injected: ``make faults`` runs the long form (``FAULTS=long pytest tests/faults``)."""

import os
from functools import partial

import counting
import pytest

LONG = os.environ.get("FAULTS") == "long"


@pytest.fixture(scope="session")
def long():
    """Whether this is the long form; a short form runs with the other tests."""
    return LONG


@pytest.fixture
def survived():
    """To be called after each fault (or for several) that was survived, with the fault's name."""
    return partial(counting.count, "survived")


@pytest.fixture
def inject():
    """To be called before each fault (or for several), with the fault's name."""
    return partial(counting.count, "injected")
