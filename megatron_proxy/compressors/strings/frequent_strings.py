"""The most probable byte strings of a sample, by counting.

The probability of a string is taken from contexts that are reset at its start: the product of p(byte | the string's
bytes before it), each the share of a context's occurrences that the byte follows. The counts telescope, so it is the
number of places where the string starts ÷ the number of places; a prefix is at least as probable as the whole, and
the most probable strings are closed under prefixes.

Strings are found level by level: all strings of length n + 1 from those of length n, each pass over the places where
a string is still worth following. A string that is not among the most frequent so far cannot have an extension
that is, so the bar rises from level to level and few strings are ever held. Memory: 10 bytes per byte of the sample
and 2 KiB per string of one length.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...common.jit import jit
from ...vocab import NUM_BYTES
from .string_set import Trie, nth_largest, ranked

# A string seen once in the sample says nothing about another text.
_LEAST_COUNT = 2


class Occurrences:
    """Strings of one length, and the places of a sample where they start: first the empty string, at every place.

    Parameters
    ----------
    data
        The sample: uint8, shape (bytes,).
    ends
        Where its segments end: int64, rising to ``len(data)``; nothing follows a string at its segment's end.
    places
        The starts that count, int32, shape (places,); overwritten.
    """

    def __init__(self, data: NDArray[np.uint8], ends: NDArray[np.int64], places: NDArray[np.int32]) -> None:
        self._data = data
        self._last = np.zeros(len(data), dtype=np.bool_)
        self._last[ends - 1] = True
        self._places = places
        self._rows = np.zeros(len(places), dtype=np.int32)
        self._strings, self._length = 1, 0

    def counts(self) -> NDArray[np.int32]:
        """How often each byte follows each string: int32, shape (strings, 256)."""
        table = np.zeros((self._strings, NUM_BYTES), dtype=np.int32)
        _count(self._data, self._places, self._rows, self._length, table)
        return table

    def descend(self, rows: NDArray[np.int64], labels: NDArray[np.integer]) -> None:
        """Go on to string ``rows[k]`` with the byte ``labels[k]`` after it, for each k; no two may be the same."""
        numbers = np.full((self._strings, NUM_BYTES), -1, dtype=np.int32)
        numbers[rows, labels] = np.arange(len(rows))
        kept = _follow(self._data, self._last, self._places, self._rows, self._length, numbers)
        self._places, self._rows = self._places[:kept], self._rows[:kept]
        self._strings, self._length = len(rows), self._length + 1


def most_frequent(
    data: NDArray[np.uint8], ends: NDArray[np.int64], places: NDArray[np.int32], size: int, longest: int
) -> Trie:
    """The ``size`` most frequent strings of 2 to ``longest`` bytes that start at ``places``, in one segment each.

    The sample and its places are those of :class:`Occurrences`; fewer strings come back if fewer occur twice.

    Returns
    -------
    Trie with the strings in order of falling frequency; among equals the shorter first, then in the order of bytes.
    """
    # What was found, by number: 0 … 255 are the single bytes.
    parents, labels, counts = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.uint8), np.empty(0, dtype=np.int64)
    # The strings of the present length, and the number of each.
    strings = Occurrences(data, ends, places)
    numbers = np.arange(NUM_BYTES)
    strings.descend(np.zeros_like(numbers), numbers)
    for _ in range(2, longest + 1):
        table = strings.counts()
        least = nth_largest(np.concatenate([counts, table[table >= _LEAST_COUNT]]), size)
        rows, following = np.nonzero(table >= max(least, _LEAST_COUNT))
        if not len(rows):
            break
        parents = np.concatenate([parents, numbers[rows]])
        labels = np.concatenate([labels, following.astype(np.uint8)])
        numbers = NUM_BYTES + len(counts) + np.arange(len(rows))
        counts = np.concatenate([counts, table[rows, following]])
        strings.descend(rows, following)
    return ranked(parents, labels, counts, size)


@jit
def _count(data: Any, places: Any, rows: Any, length: int, table: Any) -> None:
    for k in range(len(places)):
        table[rows[k], data[np.int64(places[k]) + length]] += 1


@jit
def _follow(data: Any, last: Any, places: Any, rows: Any, length: int, numbers: Any) -> int:
    """Keep the places of the strings one byte longer that have a number and do not end their segment, in place."""
    kept = 0
    for k in range(len(places)):
        end = np.int64(places[k]) + length
        number = numbers[rows[k], data[end]]
        if number >= 0 and not last[end]:
            places[kept] = places[k]
            rows[kept] = number
            kept += 1
    return kept
