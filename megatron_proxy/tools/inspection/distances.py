"""Distances between sequences of integers over any alphabet: edits, and longest common runs."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...common.jit import jit


def edit_distance(left: ArrayLike, right: ArrayLike) -> int:
    """Levenshtein distance of two sequences of integers (insert, delete, replace: 1 each).

    Bit-parallel over the differences of neighbouring cells (Myers, "A fast bit-vector algorithm for approximate string
    matching based on dynamic programming", JACM 46(3), 1999, with Hyyrö's blocks), 64 rows at a time: time
    len(left) * len(right) / 64, memory linear, whatever the alphabet.
    """
    left, right = np.ravel(np.asarray(left)), np.ravel(np.asarray(right))
    if not len(left) or not len(right):
        return max(len(left), len(right))
    symbols = np.unique(np.concatenate([left, right]), return_inverse=True)[1]
    rows, columns = symbols[: len(left)], symbols[len(left) :]
    return int(_myers(rows.astype(np.int64), columns.astype(np.int64), int(symbols.max()) + 1))


def longest_common_run(left: ArrayLike, right: ArrayLike) -> int:
    """Length of the longest contiguous run that two sequences of integers have in common."""
    return int(_common_run(np.asarray(left).astype(np.int64), np.asarray(right).astype(np.int64)))


@jit
def _myers(rows: NDArray[np.int64], columns: NDArray[np.int64], alphabet: int) -> int:
    """Distance of two sequences over ``range(alphabet)``; ``rows`` in blocks of 64, one bit each.

    ``across[j]`` is the difference of column ``j`` to the one before it in the block's last row.
    """
    one = np.uint64(1)
    across = np.ones(len(columns), dtype=np.int8)
    matches = np.zeros(alphabet, dtype=np.uint64)
    for begin in range(0, len(rows), 64):
        end = min(begin + 64, len(rows))
        for i in range(begin, end):
            matches[rows[i]] |= one << np.uint64(i - begin)
        last = np.uint64(end - begin - 1)
        rises, falls = ~np.uint64(0), np.uint64(0)
        for j in range(len(columns)):
            entering = across[j]
            equal = matches[columns[j]]
            down = equal | falls
            if entering < 0:
                equal |= one
            right = (((equal & rises) + rises) ^ rises) | equal
            plus, minus = falls | ~(right | rises), rises & right
            across[j] = np.int8((plus >> last) & one) - np.int8((minus >> last) & one)
            plus, minus = plus << one, minus << one
            if entering < 0:
                minus |= one
            elif entering > 0:
                plus |= one
            rises, falls = minus | ~(down | plus), plus & down
        for i in range(begin, end):
            matches[rows[i]] = np.uint64(0)
    distance = len(rows)
    for j in range(len(columns)):
        distance += across[j]
    return distance


@jit
def _common_run(left: NDArray[np.int64], right: NDArray[np.int64]) -> int:
    """The longest diagonal of equal cells, row by row."""
    runs = np.zeros(len(right) + 1, dtype=np.int64)
    best = 0
    for i in range(len(left)):
        for j in range(len(right) - 1, -1, -1):
            runs[j + 1] = runs[j] + 1 if left[i] == right[j] else 0
            if runs[j + 1] > best:
                best = runs[j + 1]
    return best
