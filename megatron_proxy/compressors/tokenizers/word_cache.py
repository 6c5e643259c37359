"""Encode text word by word, with a memory: the fast way through a BPE tokenizer whose symbols never cross words.

Where no symbol of a vocabulary crosses from one word into the next, merges on both sides of a border cannot touch each
other, so a document's symbols are those of its words in a row, exactly. Words repeat, so most of them are looked up in
a hash table and only new ones go to the tokenizer. What is remembered never shows in the result.

Where words begin depends on the tokenizer, see :class:`Borders`.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable
from enum import IntEnum
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...common.jit import jit
from ..words import PADDING, add_string, find_string, words_of

_CHUNK: Final = 1 << 18
_WORDS: Final = 1 << 20
_SLOTS: Final = 1 << 21
_WORD_BYTES: Final = 1 << 25

Batch = Callable[[list[str]], tuple[NDArray[np.int32], NDArray[np.int64]]]
"""The codes of all texts of a list in a row, and where those of each text end."""


class Borders(IntEnum):
    """Where words begin.

    The patterns that split a text for byte-level BPE look ahead, but never back. So a text may be cut wherever its
    pattern always cuts it, unless white space ends there: a run of white space is split by what follows it. These
    places hold for ASCII only; before other characters, no more is asked than that they are no white space.

    * ``SPACES``: at a space that follows something else, and behind every line end (SentencePiece's kind).
    * ``GPT2``: before white space that follows something else, and where letters, digits and punctuation meet, but for
      letters behind an apostrophe.
    * ``CL100K``: likewise, but letters may take the character before them, and punctuation the line ends behind it: a
      word begins behind these.
    * ``LETTERS``: like ``SPACES``, and where letters meet digits or punctuation. SentencePiece keeps scripts apart, and
      so learns no piece that would cross there, unless it is told otherwise.
    """

    SPACES = 0
    GPT2 = 1
    CL100K = 2
    LETTERS = 3


PATTERNS: Final = {
    "gpt2": r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+""",
    "cl100k": (
        r"""(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"""
        r"""\s*[\r\n]+|\s+(?!\S)|\s+"""
    ),
}
"""How a text is split before merging: patterns of published vocabularies."""


def borders_between(pieces: Iterable[bytes]) -> Borders | None:
    """The most places where a text can be cut into words that no piece of a vocabulary crosses; None for none."""
    pieces = list(pieces)
    if any(re.search(rb"[^ ] |\n.", piece, re.DOTALL) for piece in pieces):
        return None
    crossed = re.compile(rb"[A-Za-z][!-@\[-`{-~]|[!-@\[-`{-~][A-Za-z]")
    return Borders.SPACES if any(map(crossed.search, pieces)) else Borders.LETTERS


def borders_of(pattern: str) -> Borders | None:
    """Where a text can be cut that is split by ``pattern``; None if that is not known."""
    gpt2 = {PATTERNS["gpt2"], PATTERNS["gpt2"].replace("'(?:[sdmt]|ll|ve|re)", "'s|'t|'re|'ve|'m|'ll|'d")}
    # Some take digits one by one.
    cl100k = {PATTERNS["cl100k"], PATTERNS["cl100k"].replace("{1,3}", "")}
    return Borders.GPT2 if pattern in gpt2 else Borders.CL100K if pattern in cl100k else None


class WordEncoder:
    """Codes of texts by way of their words.

    Parameters
    ----------
    batch
        The tokenizer: called with new words. The codes of a word must depend on the word alone, and have at most one
        code per byte.
    borders
        Where words begin.
    """

    def __init__(self, batch: Batch, borders: Borders = Borders.SPACES) -> None:
        self._batch = batch
        self._borders = borders.value
        self._lock = threading.Lock()
        self._count = 0
        # Untouched pages of these take no memory.
        self._slots = np.zeros(_SLOTS, dtype=np.int64)
        self._words = np.empty(_WORD_BYTES + len(PADDING), dtype=np.uint8)
        self._word_ends = np.zeros(_WORDS + 1, dtype=np.int64)
        self._codes = np.empty(_WORD_BYTES, dtype=np.int32)
        self._code_ends = np.zeros(_WORDS + 1, dtype=np.int64)

    def encode(self, text: bytes) -> NDArray[np.int32]:
        """The codes of ``text``: valid UTF-8, of :data:`_WORD_BYTES` bytes at most."""
        data = np.frombuffer(text + PADDING, dtype=np.uint8)
        parts = [np.empty(0, dtype=np.int32)]
        begin = 0
        with self._lock:
            while begin < len(text):
                consumed, codes = self._encode_chunk(data[begin:])
                parts.append(codes)
                begin += consumed
        return parts[1] if len(parts) == 2 else np.concatenate(parts)

    def _encode_chunk(self, data: NDArray[np.uint8]) -> tuple[int, NDArray[np.int32]]:
        """(bytes consumed, their codes) of the beginning of ``data``, which ends with padding."""
        self._make_room(len(data))
        known = self._count
        entries = np.empty(min(len(data), _CHUNK), dtype=np.int32)
        table = (self._words, words_of(self._words), self._word_ends[1:], self._slots)
        words, consumed, self._count = _look_up(data, words_of(data), self._borders, entries, known, *table)
        self._learn(known)
        return consumed, _codes_of(entries[:words], self._codes, self._code_ends)

    def _make_room(self, size: int) -> None:
        """Forget everything when the next chunk of a text with so many bytes left might not fit."""
        if self._count + _CHUNK > _WORDS or self._word_ends[self._count] + size > _WORD_BYTES:
            self._slots.fill(0)
            self._count = 0

    def _learn(self, known: int) -> None:
        """Ask the tokenizer for the codes of the words from entry ``known`` on."""
        if known == self._count:
            return
        ends = self._word_ends[known : self._count + 1].tolist()
        content = self._words[ends[0] : ends[-1]].tobytes()
        cuts = [end - ends[0] for end in ends]
        if content.isascii():
            text = content.decode("ascii")
            words = [text[a:b] for a, b in pairwise(cuts)]
        else:
            words = [content[a:b].decode("utf-8") for a, b in pairwise(cuts)]
        try:
            codes, code_ends = self._batch(words)
        except BaseException:
            # Entries without codes must not be found later.
            self._slots.fill(0)
            self._count = 0
            raise
        begin = self._code_ends[known]
        self._code_ends[known + 1 : self._count + 1] = begin + code_ends
        self._codes[begin : begin + len(codes)] = codes


@jit
def _is_solid(data: NDArray[np.uint8], begin: int, end: int) -> Any:
    """Whether the character that ends at ``end``, in a word from ``begin`` on, is surely no white space or control."""
    byte = data[end - 1]
    if byte < 128:
        return 32 < byte < 127
    # White space beyond ASCII: U+0085, U+00A0, U+1680, U+180E (once), U+2000 to U+205F in part, U+3000.
    before = data[end - 2] if end - 2 >= begin else 0
    if before == 0xC2:
        return byte != 0x85 and byte != 0xA0
    first = data[end - 3] if end - 3 >= begin else 0
    if first == 0xE2:
        return before != 0x80 and before != 0x81
    return not ((first == 0xE1 and (before == 0x9A or before == 0xA0)) or (first == 0xE3 and before == 0x80))


@jit
def _kind(byte: Any) -> Any:
    """1 letter, 2 digit, 3 punctuation; 0 for everything else, and what is not ASCII."""
    if 97 <= byte <= 122 or 65 <= byte <= 90:
        return 1
    if 48 <= byte <= 57:
        return 2
    return 3 if 32 < byte < 127 else 0


@jit
def _begins(data: NDArray[np.uint8], begin: int, at: int, borders: int) -> Any:
    """Whether a word begins at ``at``, behind one that begins at ``begin``: see :class:`Borders`."""
    byte, before = data[at], data[at - 1]
    if borders == 0 or borders == 3:
        if before == 10 or (byte == 32 and before != 32):
            return True
        here, there = _kind(before), _kind(byte)
        return borders == 3 and here > 0 and there > 0 and (here == 1) != (there == 1)
    here, there = _kind(before), _kind(byte)
    if here > 0 and there > 0:
        return here != there and (there != 1 or here == 2 or (borders == 1 and before != 39))
    if (byte == 32 or byte == 9) and before > 32:
        return _is_solid(data, begin, at)
    if byte == 10:
        return before > 32 and (0 < here < 3 if borders == 2 else _is_solid(data, begin, at))
    if borders == 2 and before == 10 and byte != 13:
        at -= 1
        while at > begin and data[at] == 10:
            at -= 1
        return _kind(data[at]) == 3
    return False


@jit
def _look_up(
    data: NDArray[np.uint8],
    data_words: NDArray[np.int64],
    borders: int,
    entries: NDArray[np.int32],
    count: int,
    kept: NDArray[np.uint8],
    kept_words: NDArray[np.int64],
    kept_ends: NDArray[np.int64],
    slots: NDArray[np.int64],
) -> tuple[int, int, int]:
    """Find the entry of each word, making new entries; (words, bytes consumed, entries there are now).

    Stops at the first word border behind ``len(entries)`` bytes. What the words of arrays are, and the slots of a hash
    table, says :mod:`..words`; ``kept`` are the entries in a row, and ``kept_ends`` tells where each ends.
    """
    size = len(data) - len(PADDING)
    found = 0
    begin = 0
    while begin < size and begin < len(entries):
        end = begin + 1
        while end < size and not _begins(data, begin, end, borders):
            end += 1
        entry = find_string(data_words, begin, end - begin, kept_words, kept_ends, slots)
        if entry < 0:
            entry = count
            place = kept_ends[count - 1] if count else np.int64(0)
            kept[place : place + end - begin] = data[begin:end]
            kept_ends[count] = place + end - begin
            add_string(count, kept_words, kept_ends, slots)
            count += 1
        entries[found] = entry
        found += 1
        begin = end
    return found, begin, count


@jit
def _codes_of(entries: NDArray[np.int32], codes: NDArray[np.int32], code_ends: NDArray[np.int64]) -> NDArray[np.int32]:
    """The codes of the entries in a row."""
    size = 0
    for entry in entries:
        size += code_ends[entry + 1] - code_ends[entry]
    out = np.empty(size, dtype=np.int32)
    place = 0
    for entry in entries:
        for i in range(code_ends[entry], code_ends[entry + 1]):
            out[place] = codes[i]
            place += 1
    return out
