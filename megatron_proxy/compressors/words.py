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


@jit_borrowing
def find_string(
    words: NDArray[np.int64],
    place: Any,
    length: Any,
    strings: NDArray[np.int64],
    ends: NDArray[np.int64],
    slots: NDArray[np.int64],
) -> Any:
    """The number in a hash table of the string of ``length`` bytes at ``place``, or -1.

    ``strings`` are the words of the table's strings in a row, ``ends`` tells where each ends, and ``slots`` are filled
    by :func:`add_string`.
    """
    content = hashed(words, place, length)
    slot = content >> 32
    while True:
        slot &= len(slots) - 1
        entry = slots[np.uint64(slot)]
        if entry == 0:
            return np.int64(-1)
        if (entry ^ content) >> 32 == 0:
            number = (entry & 0xFFFFFFFF) - 1
            start = ends[number - 1] if number else np.int64(0)
            if ends[number] - start == length and same(words, place, strings, start, length):
                return number
        slot += 1


@jit_borrowing
def add_string(number: Any, strings: NDArray[np.int64], ends: NDArray[np.int64], slots: NDArray[np.int64]) -> None:
    """Put string ``number``, which is not there yet, into the hash table of :func:`find_string`.

    A slot holds the upper half of a string's hash and its number from 1, or 0; there are 2^n, more than strings.
    """
    start = ends[number - 1] if number else np.int64(0)
    content = hashed(strings, start, ends[number] - start)
    slot = (content >> 32) & (len(slots) - 1)
    while slots[slot]:
        slot = (slot + 1) & (len(slots) - 1)
    slots[slot] = (content >> 32 << 32) | (number + 1)


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
