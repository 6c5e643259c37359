"""Strings with a symbol of their own: chosen from what was seen, stored in a file, found in a hash table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..errors import CompressorError
from ..jit import jit

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


def slots_for(phrases: NDArray[np.uint8], ends: NDArray[np.int64]) -> NDArray[np.int32]:
    """A hash table of phrases: their numbers, int32, -1 where there is none.

    ``phrases`` are joined, and ``ends`` tells where each one ends.
    """
    slots = np.full(1 << (2 * len(ends)).bit_length(), -1, dtype=np.int32)
    _fill(phrases, ends, slots)
    return slots


@jit
def _hash(text: NDArray[np.uint8], begin: Any, end: Any) -> Any:
    content = np.uint64(end - begin)
    for i in range(begin, end):
        content = ((content << np.uint64(5)) + content) ^ np.uint64(text[i])
    return (content * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(40)


@jit
def find_phrase(
    text: NDArray[np.uint8],
    begin: Any,
    end: Any,
    phrases: NDArray[np.uint8],
    ends: NDArray[np.int64],
    slots: NDArray[np.int32],
) -> tuple[Any, Any]:
    """(number of the phrase ``text[begin:end]`` or -1, its slot or the free one it would take)."""
    mask = np.uint64(len(slots) - 1)
    slot = _hash(text, begin, end) & mask
    while slots[slot] >= 0:
        number = slots[slot]
        start = ends[number - 1] if number else 0
        same = ends[number] - start == end - begin
        i = 0
        while same and i < end - begin:
            same = phrases[start + i] == text[begin + i]
            i += 1
        if same:
            return number, slot
        slot = (slot + np.uint64(1)) & mask
    return -1, slot


@jit
def _fill(phrases: NDArray[np.uint8], ends: NDArray[np.int64], slots: NDArray[np.int32]) -> None:
    begin = 0
    for number in range(len(ends)):
        _, slot = find_phrase(phrases, begin, ends[number], phrases, ends, slots)
        slots[slot] = number
        begin = ends[number]
