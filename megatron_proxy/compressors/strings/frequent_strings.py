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

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...common.jit import jit
from .string_set import Trie, nth_largest, ranked

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
    last = np.zeros(len(data), dtype=np.bool_)
    last[ends - 1] = True
    # What was found, by number: 0 … 255 are the single bytes.
    parents, labels, counts = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.uint8), np.empty(0, dtype=np.int64)
    # The strings of the present length: which of them starts at each place (int32), and the number of each.
    rows = data[places].astype(np.int32)
    numbers = np.arange(256)
    for depth in range(2, longest + 1):
        table = np.zeros(len(numbers) * 256, dtype=np.int32)
        places = places[: _count(data, last, places, rows, depth, table)]
        cells = np.flatnonzero(table >= _LEAST_COUNT)
        cells = cells[table[cells] >= nth_largest(np.concatenate([counts, table[cells]]), size)]
        if not len(cells):
            break
        parents = np.concatenate([parents, numbers[cells >> 8]])
        labels = np.concatenate([labels, (cells & 255).astype(np.uint8)])
        numbers = 256 + len(counts) + np.arange(len(cells))
        counts = np.concatenate([counts, table[cells].astype(np.int64)])
        table[:] = -1
        table[cells] = np.arange(len(cells), dtype=np.int32)
        places = places[: _follow(data, places, rows, depth, table)]
    return ranked(parents, labels, counts, size)


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
