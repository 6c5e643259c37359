"""Suffix arrays: where a string occurs in a text, the same answer for the same string."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...common.jit import jit_borrowing


def suffix_array(text: NDArray[np.uint8], depth: int) -> NDArray[np.int64]:
    """The places of ``text`` (int64, shape (len(text),)) in the order of the strings that begin there.

    Strings are told apart by their first ``depth`` bytes at least; equal ones are in the order of their places. By
    doubling (Manber and Myers, "Suffix arrays", 1990).
    """
    size = len(text)
    ranks = text.astype(np.int64) + 1
    order = np.argsort(ranks, kind="stable")
    known = 1
    while known < depth and size:
        following = np.zeros(size, dtype=np.int64)
        following[:-known] = ranks[known:]
        keys = ranks * (size + 257) + following
        order = np.argsort(keys, kind="stable")
        ranks[order] = np.cumsum(np.diff(keys[order], prepend=-1) != 0)
        known *= 2
        if ranks.max() == size:
            break
    return order


def buckets(text: NDArray[np.uint8], suffixes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where the suffixes that begin with each pair of bytes begin in ``suffixes``: int64, shape (65,537,)."""
    padded = np.append(text, np.uint8(0)).astype(np.int64)
    pairs = (padded[suffixes] << 8) | padded[suffixes + 1]
    return np.searchsorted(pairs, np.arange(1 << 16 | 1), side="left").astype(np.int64)


@jit_borrowing
def find(
    text: NDArray[np.uint8],
    suffixes: NDArray[np.int64],
    starts: NDArray[np.int64],
    other: NDArray[np.uint8],
    begin: Any,
    end: Any,
) -> Any:
    """The first place, in the order of ``suffixes``, where ``text`` goes on like ``other[begin:end]``, or -1.

    ``starts`` are the :func:`buckets`; the string has two bytes at least.
    """
    pair = (np.int64(other[begin]) << 8) | np.int64(other[begin + 1])
    low, high = starts[pair], starts[pair + 1]
    stop = high
    while low < high:
        middle = (low + high) >> 1
        if _compare(text, suffixes[middle], other, begin, end) < 0:
            low = middle + 1
        else:
            high = middle
    if low < stop and _compare(text, suffixes[low], other, begin, end) == 0:
        return suffixes[low]
    return -1


@jit_borrowing
def _compare(text: NDArray[np.uint8], place: Any, other: NDArray[np.uint8], begin: Any, end: Any) -> int:
    """-1, 0 or 1: how the text from ``place`` on, cut to the other string's length, compares with that string."""
    # The first two bytes are known to be equal.
    for i in range(2, end - begin):
        if place + i >= len(text):
            return -1
        if text[place + i] != other[begin + i]:
            return -1 if text[place + i] < other[begin + i] else 1
    return 0
