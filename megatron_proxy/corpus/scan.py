r"""The texts of JSONL lines that are as they most often are, straight from the file's bytes to UTF-8.

A parser makes a Python string of each text, which is then encoded again; where the text is all that is needed of a
line, both can be left out. :func:`take_lines` takes lines that are objects of strings only, such as
``{"text": "...", "url": "..."}``, and stops before any other: numbers, nested values, a key that is there twice or
written with escapes, lone surrogates, and everything that is no JSON. Those are for :mod:`.jsonl`, which knows what to
say about them. What is taken here is exactly what it would make of it.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..jit import jit

PADDING: Final = bytes(8)
"""What the bytes to be scanned must end with: they are read eight at a time."""

_QUOTE, _BACKSLASH, _NEWLINE = 34, 92, 10
_OPEN, _CLOSE, _COLON, _COMMA = 123, 125, 58, 44
# What a letter after a backslash stands for; 0 for \u and for what is no escape.
_ESCAPES: Final = np.zeros(256, dtype=np.uint8)
_ESCAPES[list(b'"\\/bfnrt')] = list(b'"\\/\b\f\n\r\t')
_DIGITS: Final = np.full(256, -1, dtype=np.int64)
_DIGITS[list(b"0123456789abcdef")] = range(16)
_DIGITS[list(b"ABCDEF")] = range(10, 16)


class Source(NamedTuple):
    """What is scanned.

    Parameters
    ----------
    data
        uint8: lines, and padding.
    words
        uint64, shape (bytes - 7,): the eight bytes from each place on as one word, a view.
    key
        uint8: the key, in quotes.
    escapes, digits
        What the byte after a backslash stands for, and the value of a hexadecimal digit.
    """

    data: NDArray[np.uint8]
    words: NDArray[np.uint64]
    key: NDArray[np.uint8]
    escapes: NDArray[np.uint8]
    digits: NDArray[np.int64]


class Texts(NamedTuple):
    """What the texts are written to.

    Parameters
    ----------
    data
        uint8, as large as the source: one text after the other.
    words
        The same by words.
    lengths
        int32, as many as there may be lines: bytes of each text.
    """

    data: NDArray[np.uint8]
    words: NDArray[np.uint64]
    lengths: NDArray[np.int32]


def source_of(content: bytes | bytearray, size: int, key: str) -> Source:
    """Lines of ``size`` bytes, ended by :data:`PADDING`, ready to be scanned for the strings under ``key``."""
    data = np.frombuffer(content, dtype=np.uint8, count=size + len(PADDING))
    quoted = f'"{key}"'.encode("utf-8", "surrogatepass")
    return Source(data, _words(data), np.frombuffer(quoted, dtype=np.uint8), _ESCAPES, _DIGITS)


def room_for(size: int) -> Texts:
    """Room for all texts of lines of ``size`` bytes.

    No text is longer than what stands for it in JSON, and no line is shorter than the one below. Memory that is not
    written to costs nothing.
    """
    data = np.empty(size + len(PADDING), dtype=np.uint8)
    return Texts(data, _words(data), np.empty(size // len(b'{"":""}') + 1, dtype=np.int32))


def _words(data: NDArray[np.uint8]) -> NDArray[np.uint64]:
    return np.ndarray((len(data) - 7,), dtype=np.uint64, buffer=data, strides=(1,))


@jit
def take_lines(source: Any, at: Any, size: Any, texts: Any, count: Any, used: Any) -> tuple[Any, Any, Any, Any]:
    """Take the lines of ``source`` from ``at`` to ``size`` up to one that has to be looked at more closely.

    ``count`` texts are there already and take ``used`` bytes.

    Returns
    -------
    Where that line begins, how many lines were taken, how many texts there are now, and how many bytes they take.
    """
    lines = 0
    while at < size:
        start = _skip_blanks(source.data, at)
        if source.data[start] == _NEWLINE:
            at = start + 1
            lines += 1
            continue
        stop, end = _take_object(source, start, size, texts, used)
        if stop < 0:
            break
        texts.lengths[count] = end - used
        count += 1
        lines += 1
        at, used = stop, end
    return at, lines, count, used


@jit
def _skip_blanks(data: NDArray[np.uint8], at: Any) -> Any:
    while data[at] == 32 or data[at] == 9 or data[at] == 13:
        at += 1
    return at


@jit
def _take_object(source: Any, at: Any, size: Any, texts: Any, used: Any) -> tuple[Any, Any]:
    """Where the line after the one at ``at`` begins, and where its text ends in ``texts``; (-1, …) for another kind."""
    data = source.data
    failed = np.int64(-1), used
    if data[at] != _OPEN:
        return failed
    end = np.int64(-1)
    separator = _COMMA
    while separator == _COMMA:
        at = _skip_blanks(data, at + 1)
        wanted = _is_key(data, at, source.key)
        if wanted and end >= 0:
            return failed
        free = max(end, used)
        stop, written = _take_string(source, at, texts, free)
        # A key with escapes may be the one that is wanted.
        if stop < 0 or written - free != stop - at - 2:
            return failed
        at = _skip_blanks(data, stop)
        if data[at] != _COLON:
            return failed
        at, written = _take_string(source, _skip_blanks(data, at + 1), texts, free)
        if at < 0:
            return failed
        if wanted:
            end = written
        at = _skip_blanks(data, at)
        separator = data[at]
    at = _skip_blanks(data, at + 1)
    if separator != _CLOSE or end < 0 or (data[at] != _NEWLINE and at != size):
        return failed
    return at + 1, end


@jit
def _is_key(data: NDArray[np.uint8], at: Any, key: NDArray[np.uint8]) -> bool:
    """Whether the key, quotes included, stands at ``at``."""
    if at + len(key) > len(data):
        return False
    for i in range(len(key)):  # noqa: SIM110 - numba compiles loops, not generators
        if data[at + i] != key[i]:
            return False
    return True


@jit
def _take_string(source: Any, at: Any, texts: Any, used: Any) -> tuple[Any, Any]:
    """Write the string at ``at`` to ``texts`` from ``used`` on; where both end, or (-1, …) if it is not a plain one."""
    data, words = source.data, source.words
    if data[at] != _QUOTE:
        return np.int64(-1), used
    at += 1
    while True:
        # All eight bytes are written, of which the plain ones stay.
        word = words[np.uint64(at)]
        texts.words[np.uint64(used)] = word
        odd = _odd_bytes(word)
        if odd == 0:
            at += 8
            used += 8
            continue
        plain = _bytes_below(odd)
        at += plain
        used += plain
        byte = data[np.uint64(at)]
        if byte == _QUOTE:
            return at + 1, used
        if byte == _BACKSLASH and source.escapes[data[np.uint64(at + 1)]]:
            texts.data[np.uint64(used)] = source.escapes[data[np.uint64(at + 1)]]
            at += 2
            used += 1
            continue
        if byte == _BACKSLASH:
            taken, written = _take_escape(source, at, texts.data, used)
        else:
            taken = written = _take_character(data, at, texts.data, used)
        if taken == 0:
            return np.int64(-1), used
        at += taken
        used += written


@jit
def _odd_bytes(word: Any) -> Any:
    """The highest bit of each byte that is a quote, a backslash, a control character or no ASCII, in a word.

    Exact up to the lowest that is set (Warren, "Hacker's Delight", 6-1).
    """
    ones, high = np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)
    quotes, slashes = word ^ (ones * np.uint64(_QUOTE)), word ^ (ones * np.uint64(_BACKSLASH))
    odd = (quotes - ones) & ~quotes | (slashes - ones) & ~slashes | (word - ones * np.uint64(32)) & ~word | word
    return odd & high


@jit
def _bytes_below(bits: Any) -> Any:
    """How many bytes of a word lie below the lowest bit that is set."""
    ones = np.uint64(0x0101010101010101)
    below = (bits & (~bits + np.uint64(1))) - np.uint64(1)
    return np.int64(((below & ones) * ones) >> np.uint64(56)) - 1


@jit
def _take_escape(source: Any, at: Any, out: NDArray[np.uint8], used: Any) -> tuple[Any, Any]:
    r"""Write the character of ``\uXXXX``, or of a pair of them; how many bytes it takes in JSON and in UTF-8, or 0."""
    code = _code_unit(source, at)
    taken = 6
    if 0xD800 <= code < 0xDC00:
        low = _code_unit(source, at + 6)
        if not 0xDC00 <= low < 0xE000:
            return 0, 0
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00)
        taken = 12
    if code < 0 or 0xDC00 <= code < 0xE000:
        return 0, 0
    if code < 0x80:
        out[used] = code
        return taken, 1
    size = 2 if code < 0x800 else 3 if code < 0x10000 else 4
    for i in range(size - 1, 0, -1):
        out[used + i] = 0x80 | (code & 0x3F)
        code >>= 6
    out[used] = (0xF00 >> size & 0xFF) | code
    return taken, size


@jit
def _code_unit(source: Any, at: Any) -> Any:
    r"""The number that ``\uXXXX`` at ``at`` stands for, or -1."""
    data = source.data
    if data[at] != _BACKSLASH or data[at + 1] != 117:
        return np.int64(-1)
    code = np.int64(0)
    for i in range(2, 6):
        digit = source.digits[data[at + i]]
        if digit < 0:
            return np.int64(-1)
        code = code << 4 | digit
    return code


@jit
def _take_character(data: NDArray[np.uint8], at: Any, out: NDArray[np.uint8], used: Any) -> Any:
    """Copy a character of several bytes of UTF-8; how many they are, or 0 if it is none."""
    first = np.int64(data[at])
    size = 2 if 0xC2 <= first < 0xE0 else 3 if 0xE0 <= first < 0xF0 else 4 if 0xF0 <= first < 0xF5 else 0
    if size == 0:
        return 0
    second = np.int64(data[at + 1])
    # Too long a form, a surrogate, beyond the last character (Unicode, table 3-7).
    low = 0xA0 if first == 0xE0 else 0x90 if first == 0xF0 else 0x80
    high = 0x9F if first == 0xED else 0x8F if first == 0xF4 else 0xBF
    if not low <= second <= high:
        return 0
    for i in range(2, size):
        if data[at + i] & 0xC0 != 0x80:
            return 0
    for i in range(size):
        out[used + i] = data[at + i]
    return size
