"""Strings inside arrays of bytes, taken eight bytes at a time.

Arrays end with :data:`PADDING`, so that a word can be read from any place of what comes before.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..common.jit import jit_borrowing

PADDING: Final = bytes(8)

_FACTOR: Final = 0x1E3779B97F4A7C15


def words_of(data: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The eight bytes from each place on as one word, the first one lowest: a view, int64, shape (bytes - 7,)."""
    return np.ndarray((len(data) - 7,), dtype=np.int64, buffer=data, strides=(1,))


@jit_borrowing
def same(words: NDArray[np.int64], place: Any, others: NDArray[np.int64], other: Any, length: Any) -> bool:
    """Whether a string of ``length`` bytes, one at least, is the same as another."""
    while length > 8:
        if words[np.uint64(place)] != others[np.uint64(other)]:
            return False
        place += 8
        other += 8
        length -= 8
    return bool((words[np.uint64(place)] ^ others[np.uint64(other)]) << (64 - 8 * length) == 0)


@jit_borrowing
def hashed(words: NDArray[np.int64], place: Any, length: Any) -> Any:
    """A hash of a string of ``length`` bytes, one at least, the best bits highest: int64."""
    content = np.int64(length)
    while length > 8:
        content = (content ^ words[np.uint64(place)]) * _FACTOR
        content ^= content >> 32
        place += 8
        length -= 8
    content = (content ^ (words[np.uint64(place)] << (64 - 8 * length))) * _FACTOR
    return (content ^ (content >> 32)) * _FACTOR
