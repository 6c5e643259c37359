"""Counts of the inputs tried, printed at the end of the run.

``make fuzz`` runs the long form (``FUZZ=long pytest tests/fuzz``); a short form runs with the other tests.
"""

from collections import Counter

import pytest
from fuzzing import bounded

_tried: Counter[str] = Counter()


@pytest.fixture(scope="session")
def tried():
    """To be called for each input, with what kind of input it is."""

    def tried(kind):
        _tried[kind] += 1

    return tried


@pytest.fixture(autouse=True)
def _bounds():
    with bounded():
        yield


def pytest_terminal_summary(terminalreporter):
    """Print the counts."""
    if not _tried:
        return
    terminalreporter.section("inputs fuzzed")
    for kind in sorted(_tried):
        terminalreporter.write_line(f"{_tried[kind]:9,}  {kind}")
    terminalreporter.write_line(f"{_tried.total():9,}  in all")
