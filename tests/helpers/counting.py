"""Counts that tests make and the end of the run prints, whichever of pytest-xdist's workers they ran in.

A test's counts go with its report, which is what workers send.
"""

from collections import Counter
from collections.abc import Iterator

SECTIONS = {"inputs fuzzed": ("tried",), "faults injected and survived": ("injected", "survived")}
"""What is printed under which heading, each in a column."""

_new: Counter[tuple[str, str]] = Counter()
_all: Counter[tuple[str, str]] = Counter()


def count(column: str, name: str, number: int = 1) -> None:
    """Note that something of this name was tried, injected or survived."""
    _new[column, name] += number


def take() -> list[tuple[str, str, int]]:
    """What was counted since the last call."""
    taken = [(column, name, number) for (column, name), number in _new.items()]
    _new.clear()
    return taken


def add(taken: list[tuple[str, str, int]]) -> None:
    """Add what was taken to what will be printed."""
    for column, name, number in taken:
        _all[column, name] += number


def lines(section: str) -> Iterator[str]:
    """A line for each name, with its counts before it, and one for all of them; none if there are none."""
    columns = SECTIONS[section]
    names = sorted({name for column, name in _all if column in columns})
    rows = [(name, [_all[column, name] for column in columns]) for name in names]
    if rows:
        rows.append(("in all", [sum(numbers) for numbers in zip(*(row for _, row in rows), strict=True)]))
    for name, numbers in rows:
        yield f"{''.join(f'{number:9,} ' for number in numbers)} {name}"
