"""Strings with a symbol of their own: chosen from what was seen, stored in a file, found in a hash table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ...common.jit import jit
from ...errors import CompressorError
from ..words import add_string

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
    """The slots of phrases (:func:`..words.add_string`): their words, in a row, and where each one ends."""
    slots = np.zeros(1 << (2 * len(ends)).bit_length(), dtype=np.int64)
    _fill(phrases, ends, slots)
    return slots


@jit
def _fill(phrases: NDArray[np.int64], ends: NDArray[np.int64], slots: NDArray[np.int64]) -> None:
    for number in range(len(ends)):
        add_string(number, phrases, ends, slots)
