"""The most probable byte strings of a sample, by counting.

The probability of a string is taken from contexts that are reset at its start: the product of p(byte | the string's
bytes before it), each the share of a context's occurrences that the byte follows. The counts telescope, so it is the
number of places where the string starts ÷ the number of places; a prefix is at least as probable as the whole, and
the most probable strings are closed under prefixes.

Strings are found level by level: all strings of length n + 1 from those of length n, each pass over the places where
a string is still worth following. A string that is not among the most frequent so far cannot have an extension
that is, so the bar rises from level to level and few strings are ever held. Memory: 10 bytes per byte of the sample
and 1 KiB per string of one length.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...common.jit import jit
from .string_set import Trie, ranked

# A string seen once in the sample says nothing about another text.
_LEAST_COUNT = 2


def most_frequent(
    data: NDArray[np.uint8], ends: NDArray[np.int64], places: NDArray[np.int32], size: int, longest: int
) -> Trie:
    """The ``size`` most frequent strings of 2 to ``longest`` bytes that start at ``places``, in one segment each.

    Parameters
    ----------
    data
        The sample: uint8, shape (bytes,).
    ends
        Where its segments end: int64, rising to ``len(data)``.
    places
        The starts that count, int32, shape (places,); overwritten.
    size
        How many strings; fewer come back if fewer occur twice.
    longest
        Longest string in bytes.

    Returns
    -------
    Trie with the strings in order of falling frequency; among equals the shorter first, then in the order of bytes.
    """
    level = _Level.first(data, ends, places)
    found = _Strings.none()
    for depth in range(2, longest + 1):
        longer = level.extend(depth, found, size)
        if not len(longer.counts):
            break
        found = found.and_(longer)
    return ranked(found.parents, found.labels, found.counts, size)


@dataclass(frozen=True)
class _Strings:
    """Strings of one length, in the order of their parents and then of their last bytes.

    ``parents`` are numbers of strings: the single bytes are 0 … 255, then every string as it was found.
    """

    parents: NDArray[np.int64]
    labels: NDArray[np.uint8]
    counts: NDArray[np.int64]

    @classmethod
    def none(cls) -> _Strings:
        return cls(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.uint8), np.empty(0, dtype=np.int64))

    def and_(self, longer: _Strings) -> _Strings:
        return _Strings(
            np.concatenate([self.parents, longer.parents]),
            np.concatenate([self.labels, longer.labels]),
            np.concatenate([self.counts, longer.counts]),
        )


@dataclass
class _Level:
    """Where the strings of the present length occur.

    ``places`` (int32) are the starts, ``rows`` (int32) the strings that start there, as places in ``numbers``.
    """

    data: NDArray[np.uint8]
    last: NDArray[np.bool_]
    places: NDArray[np.int32]
    rows: NDArray[np.int32]
    numbers: NDArray[np.int64]

    @classmethod
    def first(cls, data: NDArray[np.uint8], ends: NDArray[np.int64], places: NDArray[np.int32]) -> _Level:
        last = np.zeros(len(data), dtype=np.bool_)
        last[ends - 1] = True
        return cls(data, last, places, data[places].astype(np.int32), np.arange(256))

    def extend(self, depth: int, found: _Strings, size: int) -> _Strings:
        """Go on to the strings of ``depth`` bytes that may be among the ``size`` most frequent, beside ``found``."""
        table = np.zeros(len(self.numbers) * 256, dtype=np.int32)
        count = _count(self.data, self.last, self.places, self.rows, depth, table)
        cells = np.flatnonzero(table >= _LEAST_COUNT)
        cells = cells[table[cells] >= _bar(np.concatenate([found.counts, table[cells]]), size)]
        strings = _Strings(self.numbers[cells >> 8], (cells & 255).astype(np.uint8), table[cells].astype(np.int64))
        table[:] = -1
        table[cells] = np.arange(len(cells), dtype=np.int32)
        count = _follow(self.data, self.places[:count], self.rows, depth, table)
        self.places, self.rows = self.places[:count], self.rows[:count]
        self.numbers = 256 + len(found.counts) + np.arange(len(cells))
        return strings


def _bar(counts: NDArray[np.int64], size: int) -> int:
    """The count that a string needs to be among the ``size`` most frequent."""
    return int(np.partition(counts, -size)[-size]) if len(counts) >= size else 0


@jit
def _count(data: Any, last: Any, places: Any, rows: Any, depth: int, table: Any) -> int:
    """Count the strings one byte longer; places whose segment ends before that byte are dropped, in place."""
    kept = 0
    for k in range(len(places)):
        end = np.int64(places[k]) + depth - 1
        if last[end - 1]:
            continue
        table[np.int64(rows[k]) * 256 + data[end]] += 1
        places[kept] = places[k]
        rows[kept] = rows[k]
        kept += 1
    return kept


@jit
def _follow(data: Any, places: Any, rows: Any, depth: int, table: Any) -> int:
    """Keep the places of the strings that have a number in ``table``, in place."""
    kept = 0
    for k in range(len(places)):
        row = table[np.int64(rows[k]) * 256 + data[np.int64(places[k]) + depth - 1]]
        if row >= 0:
            places[kept] = places[k]
            rows[kept] = row
            kept += 1
    return kept
