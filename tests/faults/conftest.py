"""Counts of the faults injected, printed at the end of the run.

``make faults`` runs the long form (``FAULTS=long pytest -m faults``); a short form runs with the other tests.
"""

import os
from collections import Counter

import pytest

LONG = os.environ.get("FAULTS") == "long"

_injected: Counter[str] = Counter()
_survived: Counter[str] = Counter()


@pytest.fixture(scope="session")
def long():
    """Whether this is the long form."""
    return LONG


@pytest.fixture
def survived():
    """To be called after each fault (or for several) that was survived, with the fault's name."""

    def survived(name, count=1):
        _survived[name] += count

    return survived


@pytest.fixture
def inject():
    """To be called before each fault (or for several), with the fault's name."""

    def inject(name, count=1):
        _injected[name] += count

    return inject


def pytest_terminal_summary(terminalreporter):
    """Print the counts."""
    if not _injected:
        return
    terminalreporter.section("faults injected and survived")
    for name in sorted(_injected):
        terminalreporter.write_line(f"{_injected[name]:6,} {_survived[name]:6,}  {name}")
