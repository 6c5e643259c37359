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

from ...common.jit import jit, jit_borrowing
from ...errors import CompressorError
from ..segments.segmenter import Segmenter
from ..words import PADDING, find_string, same, words_of
from .phrases import slots_for
from .sequences import read_matches, segment_matches
from .suffixes import buckets, find, suffix_array
from .tables import reader_for

_REMEMBERED: Final = 1 << 15
_WRITTEN_AT_ONCE: Final = 8
_UNREADABLE: Final = "this version of the zstd library writes frames that cannot be read here"


class _Names(NamedTuple):
    """What a string's code is looked up in.

    ``content`` is the dictionary, ``words`` its words (``compressors.words``), ``suffixes`` its suffix array, and
    ``starts`` that one's buckets; ``phrases`` are joined, ``phrase_words`` are their words, ``ends`` tells where each
    ends, and ``slots`` is a hash table of their numbers. ``memory`` holds what was looked up before, place, length and
    code in one word, so that threads never see half an entry. ``max_bytes`` is the longest segment.
    """

    content: NDArray[np.uint8]
    words: NDArray[np.int64]
    suffixes: NDArray[np.int64]
    starts: NDArray[np.int64]
    phrases: NDArray[np.uint8]
    phrase_words: NDArray[np.int64]
    ends: NDArray[np.int64]
    slots: NDArray[np.int64]
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
        padded = np.frombuffer(dictionary[content_begin:] + PADDING, dtype=np.uint8)
        content = padded[: -len(PADDING)]
        words = words_of(padded)
        ends = np.cumsum(np.fromiter(map(len, phrases), dtype=np.int64, count=len(phrases)))
        joined = np.frombuffer(b"".join((*phrases, PADDING)), dtype=np.uint8)
        phrase_words = words_of(joined)
        suffixes = suffix_array(content, max_bytes)
        self._names = _Names(
            content,
            words,
            suffixes,
            buckets(content, suffixes),
            joined,
            phrase_words,
            ends,
            slots_for(phrase_words, ends),
            np.zeros(_REMEMBERED, dtype=np.int64),
            max_bytes,
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
        self, frames: NDArray[np.uint8], text: NDArray[np.uint8], ends: NDArray[np.int64], dtype: Any
    ) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """The codes of the segments of ``text`` that end at ``ends``, and where each one's codes end.

        ``frames`` and ``text`` end with padding (:data:`megatron_proxy.compressors.words.PADDING`).

        Raises
        ------
        CompressorError
            If ``frames`` are not what zstd makes of these segments.
        """
        # A little more than one code per byte: see _name_segment.
        codes = np.empty(int(ends[-1]) + _WRITTEN_AT_ONCE, dtype=dtype)
        code_ends = np.empty(len(ends), dtype=np.int64)
        reader = self._reader.copy()
        count = _encode(frames, words_of(frames), text, words_of(text), ends, reader, self._names, codes, code_ends)
        if count < 0:
            raise CompressorError(_UNREADABLE)
        return codes[:count].copy(), code_ends

    def matches(self, frames: NDArray[np.uint8], ends: NDArray[np.int64]) -> NDArray[np.int64]:
        """The matches in the segments: int64, shape (matches, 3): begin, end, offset."""
        found = np.empty((int(ends[-1]) // 3 + 1, 3), dtype=np.int64)
        count = read_matches(frames, words_of(frames), ends, self._reader.copy(), found)
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


@jit_borrowing
def _code_of(
    text: NDArray[np.uint8], words: NDArray[np.int64], place: Any, length: Any, sources: Any, names: Any
) -> Any:
    """The code of the phrase ``text[place:place + length]``, or of its source; 0 if it is neither.

    ``sources`` is source 0's code.
    """
    phrase = find_string(words, place, length, names.phrase_words, names.ends, names.slots)
    if phrase >= 0:
        return sources - len(names.ends) + phrase
    source = find(names.content, names.suffixes, names.starts, text, place, place + length)
    return sources + source if source >= 0 else np.int64(0)


@jit
def _encode(
    frames: NDArray[np.uint8],
    frame_words: NDArray[np.int64],
    text: NDArray[np.uint8],
    words: NDArray[np.int64],
    ends: NDArray[np.int64],
    reader: Any,
    names: Any,
    codes: NDArray[Any],
    code_ends: NDArray[np.int64],
) -> Any:
    """Fill ``codes`` and ``code_ends``; returns how many codes, or -1 for frames that are not of these segments.

    Segment by segment, so that a segment's matches are still in the nearest cache when they are named.
    """
    found = np.empty((names.max_bytes // 3 + 1, 3), dtype=np.int64)
    at = count = start = np.int64(0)
    for segment in range(len(ends)):
        end = ends[segment]
        matches, at = segment_matches(frames, frame_words, at, start, end, reader, found, np.int64(0))
        if matches < 0:
            return np.int64(-1)
        count = _name_segment(text, words, start, end, found, matches, names, codes, count)
        if count < 0:
            return count
        code_ends[segment] = count
        start = end
    return count


@jit_borrowing
def _copy_literals(text: NDArray[np.uint8], place: Any, end: Any, codes: NDArray[Any], count: Any) -> Any:
    """Write ``text[place:end]`` to ``codes[count:]``, and perhaps something behind it; returns where it ends."""
    # There are few literals between two matches: taking eight is faster than counting them.
    for i in range(_WRITTEN_AT_ONCE):
        codes[np.uint64(count + i)] = text[np.uint64(place + i)]
    for i in range(_WRITTEN_AT_ONCE, end - place):
        codes[count + i] = text[place + i]
    return count + (end - place)


@jit_borrowing
def _name_segment(
    text: NDArray[np.uint8],
    words: NDArray[np.int64],
    start: Any,
    end: Any,
    matches: NDArray[np.int64],
    number_of_matches: Any,
    names: Any,
    codes: NDArray[Any],
    count: Any,
) -> Any:
    """Write the codes of ``text[start:end]`` to ``codes[count:]``; where they end, or -1 for a match that is none.

    Behind them there must be room for :data:`_WRITTEN_AT_ONCE` more, less the bytes of text that are still to come.
    """
    content, memory = names.words, names.memory
    size = len(names.content)
    distances = 257 + names.max_bytes
    first_phrase = distances + names.max_bytes
    sources = first_phrase + len(names.ends)
    place = start
    for number in range(number_of_matches):
        first, behind, offset = matches[number, 0], matches[number, 1], matches[number, 2]
        length = behind - first
        count = _copy_literals(text, place, first, codes, count)
        place = behind
        source = size + first - start - offset
        if source < 0 or offset < 1 or first + length > end:
            return np.int64(-1)
        if source + length <= size:
            if not same(words, first, content, source, length):
                return np.int64(-1)
            # The same string of the dictionary is asked for again and again.
            key = ((source << 16) | length) << 28
            slot = ((key >> 28) * 0x9E3779B97F4A7C1 >> 20) & (_REMEMBERED - 1)
            code = memory[np.uint64(slot)] ^ key
            if code >> 28 != 0:
                code = _code_of(text, words, first, length, sources, names)
                memory[np.uint64(slot)] = key | code
        elif source >= size:
            if not same(words, first, words, first - offset, length):
                return np.int64(-1)
            code = _code_of(text, words, first, length, sources, names)
            if code == 0:
                code = distances + offset
        else:
            border = size - source
            if not (
                same(words, first, content, source, border)
                and same(words, first + border, words, start, length - border)
            ):
                return np.int64(-1)
            code = _code_of(text, words, first, length, sources, names)
            if code == 0:
                # Partly in the dictionary and partly in the segment: rare, and not worth a form of its own.
                count = _copy_literals(text, first, behind, codes, count)
                continue
        codes[np.uint64(count)] = code
        codes[np.uint64(count + 1)] = 256 + length
        count += 1 + (code < first_phrase or code >= sources)
    return _copy_literals(text, place, end, codes, count)


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
