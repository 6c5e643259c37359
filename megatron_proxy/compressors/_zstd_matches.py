"""zstd's matches as codes, and back: a transparent form, in which every code says what it stands for.

zstd's entropy coder packs several matches into one byte and makes each byte depend on all after it, so an edit changes
the whole segment, and nothing in it can be told apart. Here only zstd's choice of matches is taken over, and written
with as many symbols as it likes:

=========================  ==============================================================================
code                       meaning
=========================  ==============================================================================
literal                    a byte that no match covers
phrase                     a whole match: one of the strings that the corpus matches most often
source, then length        a match with the dictionary: where it is there, how long it is
distance, then length      a match with the segment itself: how far back, how long
=========================  ==============================================================================

A string that the dictionary holds at several places always gets the same source, whichever zstd found. So phrases and
pairs of source and length mean the same string wherever they stand, and no segment needs a marker.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import CompressorError
from ..jit import jit
from ..segment import Segmenter
from ._phrases import find_phrase, slots_for
from ._suffixes import buckets, find, suffix_array
from ._zstd_sequences import read_matches
from ._zstd_tables import reader_for

_REMEMBERED: Final = 1 << 15
_UNREADABLE: Final = "this version of the zstd library writes frames that cannot be read here"


class _Names(NamedTuple):
    """What a string's code is looked up in.

    ``content`` is the dictionary, ``suffixes`` its suffix array and ``starts`` that one's buckets; ``phrases`` are
    joined, ``ends`` tells where each ends, and ``slots`` is a hash table of their numbers. ``memory`` holds what was
    looked up before, place, length and code in one word, so that threads never see half an entry. ``max_bytes`` is the
    longest segment.
    """

    content: NDArray[np.uint8]
    suffixes: NDArray[np.int64]
    starts: NDArray[np.int64]
    phrases: NDArray[np.uint8]
    ends: NDArray[np.int64]
    slots: NDArray[np.int32]
    memory: NDArray[np.int64]
    max_bytes: int


class MatchForm:
    """The codes of matches with one dictionary.

    Symbols are, in this order: lengths 0 … max_bytes, distances 0 … max_bytes - 1, phrases, sources.

    Parameters
    ----------
    dictionary
        What zstd was given, tables included.
    max_bytes
        Longest segment.
    phrases
        Strings with a symbol of their own.
    """

    def __init__(self, dictionary: bytes, max_bytes: int, phrases: list[bytes]) -> None:
        self._reader, content_begin = reader_for(dictionary)
        content = np.frombuffer(dictionary, dtype=np.uint8)[content_begin:]
        ends = np.cumsum(np.fromiter(map(len, phrases), dtype=np.int64, count=len(phrases)))
        joined = np.frombuffer(b"".join(phrases), dtype=np.uint8)
        suffixes = suffix_array(content, max_bytes)
        memory = np.zeros(_REMEMBERED, dtype=np.int64)
        self._names = _Names(
            content, suffixes, buckets(content, suffixes), joined, ends, slots_for(joined, ends), memory, max_bytes
        )

    @property
    def num_symbols(self) -> int:
        """Lengths, distances, phrases and sources."""
        names = self._names
        return 2 * names.max_bytes + 1 + len(names.ends) + len(names.content)

    def symbol_bytes(self) -> NDArray[np.int32]:
        """A source or distance stands for nothing, its length for all of the match."""
        names = self._names
        sizes = np.zeros(self.num_symbols, dtype=np.int32)
        sizes[: names.max_bytes + 1] = np.arange(names.max_bytes + 1)
        sizes[2 * names.max_bytes + 1 :][: len(names.ends)] = np.diff(names.ends, prepend=0)
        return sizes

    def encode(
        self, frames: NDArray[np.uint8], text: NDArray[np.uint8], begin: int, ends: NDArray[np.int64]
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """The codes of the segments of ``text`` from ``begin`` on that end at ``ends``, and where each one's codes end.

        Raises
        ------
        CompressorError
            If ``frames`` are not what zstd makes of these segments.
        """
        matches = self.matches(frames, begin, ends)
        codes = np.empty(int(ends[-1]) - begin, dtype=np.int32)
        code_ends = np.empty(len(ends), dtype=np.int64)
        count = _encode(text, matches, begin, ends, self._names, codes, code_ends)
        if count < 0:
            raise CompressorError(_UNREADABLE)
        return codes[:count], code_ends

    def matches(self, frames: NDArray[np.uint8], begin: int, ends: NDArray[np.int64]) -> NDArray[np.int64]:
        """The matches in the segments: int64, shape (matches, 3): begin, end, offset."""
        found = np.empty(((int(ends[-1]) - begin) // 3 + 1, 3), dtype=np.int64)
        # Own tables for every call: threads may read at the same time.
        reader = self._reader._replace(tables=self._reader.tables.copy(), logs=self._reader.logs.copy())
        count = read_matches(frames, begin, ends, reader, found)
        if count < 0:
            raise CompressorError(_UNREADABLE)
        return found[:count]

    def decode(self, codes: NDArray[Any], segmenter: Segmenter) -> bytes:
        """The document of ``codes``.

        Raises
        ------
        CompressorError
            If they break the grammar of the module's docstring, or a match crosses the border of a segment.
        """
        codes = codes.astype(np.int32)
        size = _measure(codes, self._names)
        if size < 0:
            raise CompressorError("these codes are no matches and literals", where=f"code {-1 - size}")
        out = np.empty(size, dtype=np.uint8)
        _decode(codes, self._names, out)
        document = out.tobytes()
        crossing = _crossing(codes, self._names, segmenter.ends(document))
        if crossing >= 0:
            raise CompressorError("a match crosses the border of a segment", where=f"code {crossing}")
        return document


@jit
def _code_of(text: NDArray[np.uint8], begin: Any, end: Any, names: Any) -> Any:
    """The code of the phrase ``text[begin:end]``, or of its source; 0 if it is neither."""
    phrase, _ = find_phrase(text, begin, end, names.phrases, names.ends, names.slots)
    if phrase >= 0:
        return 257 + 2 * names.max_bytes + phrase
    source = find(names.content, names.suffixes, names.starts, text, begin, end)
    return 257 + 2 * names.max_bytes + len(names.ends) + source if source >= 0 else 0


@jit
def _encode(
    text: NDArray[np.uint8],
    matches: NDArray[np.int64],
    begin: Any,
    ends: NDArray[np.int64],
    names: Any,
    codes: NDArray[np.int32],
    code_ends: NDArray[np.int64],
) -> Any:
    """Fill ``codes`` and ``code_ends``; returns how many codes, or -1 for a match that is none."""
    content, memory = names.content, names.memory
    distances = 257 + names.max_bytes
    phrases = distances + names.max_bytes
    sources = phrases + len(names.ends)
    count = np.int64(0)
    start = place = np.int64(begin)
    segment = 0
    for number in range(len(matches) + 1):
        first = behind = np.int64(len(text))
        offset = np.int64(0)
        if number < len(matches):
            first, behind, offset = matches[number, 0], matches[number, 1], matches[number, 2]
        while segment < len(ends) and ends[segment] <= first:
            for i in range(place, ends[segment]):
                codes[count] = text[i]
                count += 1
            code_ends[segment] = count
            start = place = ends[segment]
            segment += 1
        if segment == len(ends):
            return count if number == len(matches) else -1
        for i in range(place, first):
            codes[count] = text[i]
            count += 1
        place = behind
        length = behind - first
        if behind > ends[segment] or not _is_match(text, start, first, behind, offset, content):
            return -1
        source = len(content) + first - start - offset
        if source + length <= len(content):
            # The same string of the dictionary is asked for again and again.
            key = (source << 16) | length
            slot = ((key * np.int64(0x9E3779B97F4A7C1)) >> 20) & (len(memory) - 1)
            known = memory[slot]
            if known >> 28 != key:
                known = (key << 28) | np.int64(_code_of(content, source, source + length, names))
                memory[slot] = known
            code = known & 0xFFFFFFF
        else:
            code = np.int64(_code_of(text, first, behind, names))
        if code == 0 and offset <= first - start:
            code = distances + offset
        elif code == 0:
            # Partly in the dictionary and partly in the segment: rare, and not worth a form of its own.
            for i in range(first, behind):
                codes[count] = text[i]
                count += 1
            continue
        codes[count] = code
        count += 1
        if code < phrases or code >= sources:
            codes[count] = 256 + length
            count += 1
    return -1


@jit
def _is_match(
    text: NDArray[np.uint8], start: Any, begin: Any, end: Any, offset: Any, content: NDArray[np.uint8]
) -> bool:
    """Whether ``text[begin:end]`` stands ``offset`` bytes before, in the segment from ``start`` or the dictionary."""
    if offset < 1 or begin - start + len(content) < offset:
        return False
    for i in range(begin, end):
        source = i - offset - start
        if text[i] != (text[start + source] if source >= 0 else content[len(content) + source]):
            return False
    return True


@jit
def _match_at(codes: NDArray[np.int32], at: Any, size: Any, names: Any) -> tuple[Any, Any, Any, Any]:
    """What stands at ``codes[at]`` when ``size`` bytes have been decoded.

    (number of codes, number of bytes, kind, place): kind 0 is a literal, 1 a phrase, 2 a match with the dictionary, 3
    one with the text; place is where its bytes begin. The number of codes is 0 if this is none of them.
    """
    code = np.int64(codes[at])
    if code < 256:
        return 1, 1, 0, code
    symbol = code - 257 - 2 * names.max_bytes
    if 0 <= symbol < len(names.ends):
        begin = names.ends[symbol - 1] if symbol else 0
        return 1, names.ends[symbol] - begin, 1, begin
    length = np.int64(codes[at + 1]) - 256 if at + 1 < len(codes) else 0
    if length < 1 or length > names.max_bytes:
        return 0, 0, 0, 0
    if symbol >= 0:
        source = symbol - len(names.ends)
        return (2, length, 2, source) if source + length <= len(names.content) else (0, 0, 0, 0)
    distance = code - 257 - names.max_bytes
    return (2, length, 3, size - distance) if 1 <= distance <= size else (0, 0, 0, 0)


@jit
def _measure(codes: NDArray[np.int32], names: Any) -> Any:
    """How many bytes ``codes`` stand for, or ``-1 - place`` of what breaks the grammar."""
    size = np.int64(0)
    at = 0
    while at < len(codes):
        taken, length, _, _ = _match_at(codes, at, size, names)
        if taken == 0:
            return -1 - at
        at += taken
        size += length
    return size


@jit
def _decode(codes: NDArray[np.int32], names: Any, out: NDArray[np.uint8]) -> None:
    """Fill ``out``; the codes have been measured."""
    size = np.int64(0)
    at = 0
    while at < len(codes):
        taken, length, kind, place = _match_at(codes, at, size, names)
        if kind == 0:
            out[size] = place
        for i in range(length if kind else 0):
            source = place + i
            out[size + i] = names.phrases[source] if kind == 1 else names.content[source] if kind == 2 else out[source]
        at += taken
        size += length


@jit
def _crossing(codes: NDArray[np.int32], names: Any, ends: NDArray[np.int64]) -> Any:
    """Place of the first code whose match is not all within one segment, or -1."""
    size = np.int64(0)
    at = 0
    segment = 0
    start = np.int64(0)
    while at < len(codes):
        taken, length, kind, place = _match_at(codes, at, size, names)
        if size + length > ends[segment] or (kind == 3 and place < start):
            return at
        at += taken
        size += length
        if size == ends[segment]:
            start = size
            segment += 1
    return -1
