"""Strings with a symbol of their own: chosen from what was seen, stored in a file, found in a hash table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...common.jit import jit, jit_borrowing
from ...errors import CompressorError
from ..words import hashed, same

LONGEST_PHRASE: Final = 255
_SEEN_TWICE: Final = 2


def choose_phrases(strings: Iterable[bytes], count: int) -> list[bytes]:
    """The ``count`` strings seen most often, twice at least, and at most :data:`LONGEST_PHRASE` bytes long."""
    seen = Counter(string for string in strings if len(string) <= LONGEST_PHRASE)
    ranked = sorted((-times, string) for string, times in seen.items() if times >= _SEEN_TWICE)
    return [string for _, string in ranked[:count]]


def write_phrases(phrases: list[bytes]) -> bytes:
    """Phrases as a file: each with its length before it, in one byte."""
    return b"".join(bytes([len(phrase)]) + phrase for phrase in phrases)


def read_phrases(content: bytes) -> list[bytes]:
    """The inverse of :func:`write_phrases`.

    Raises
    ------
    CompressorError
        If it is not such a file.
    """
    phrases = []
    at = 0
    while at < len(content):
        phrases.append(content[at + 1 : at + 1 + content[at]])
        at += 1 + content[at]
    if at != len(content) or b"" in phrases or len(set(phrases)) != len(phrases):
        raise CompressorError("the file of phrases is damaged")
    return phrases


def slots_for(phrases: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """A hash table of phrases: the upper half of a phrase's hash and its number from 1, int64; 0 where there is none.

    ``phrases`` are the words (``compressors.words``) of the joined phrases, and ``ends`` tells where each one ends.
    """
    slots = np.zeros(1 << (2 * len(ends)).bit_length(), dtype=np.int64)
    _fill(phrases, ends, slots)
    return slots


@jit_borrowing
def find_phrase(
    words: NDArray[np.int64],
    place: Any,
    length: Any,
    phrases: NDArray[np.int64],
    ends: NDArray[np.int64],
    slots: NDArray[np.int64],
) -> Any:
    """The number of the phrase that is the string of ``length`` bytes at ``place``, or -1."""
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
            if ends[number] - start == length and same(words, place, phrases, start, length):
                return number
        slot += 1


@jit
def _fill(phrases: NDArray[np.int64], ends: NDArray[np.int64], slots: NDArray[np.int64]) -> None:
    begin = np.int64(0)
    for number in range(len(ends)):
        content = hashed(phrases, begin, ends[number] - begin)
        slot = (content >> 32) & (len(slots) - 1)
        while slots[slot]:
            slot = (slot + 1) & (len(slots) - 1)
        slots[slot] = (content >> 32 << 32) | (number + 1)
        begin = ends[number]
