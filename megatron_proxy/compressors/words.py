"""Strings inside arrays of bytes, taken eight bytes at a time.

Arrays end with :data:`PADDING`, so that a word can be read from any place of what comes before.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..common.jit import jit, jit_borrowing

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


def joined(
    numbers: NDArray[np.integer], begins: NDArray[np.integer], sizes: NDArray[np.integer], text: NDArray[np.uint8]
) -> bytes:
    """Some strings of ``text`` in a row: ``begins`` and ``sizes`` say, by number, where each begins and how long it is.

    Most are short, and loops over so few bytes would take five times as long.
    """
    total = int(sizes[numbers].sum(dtype=np.int64))
    out = np.empty(total + len(PADDING), dtype=np.uint8)
    _join(numbers, begins, sizes, words_of(text), words_of(out))
    return out[:total].tobytes()


@jit
def _join(numbers: Any, begins: Any, sizes: Any, words: NDArray[np.int64], out: NDArray[np.int64]) -> None:
    """A string is put down in whole words, and the next one over what was too much."""
    place = np.uint64(0)
    for number in numbers:
        begin, size = np.uint64(begins[number]), np.uint64(sizes[number])
        done = np.uint64(0)
        while done < size:
            out[place + done] = words[begin + done]
            done += np.uint64(8)
        place += size
