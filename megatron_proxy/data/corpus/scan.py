r"""The texts of JSONL lines that are as they most often are, straight from the file's bytes to UTF-8.

A parser makes a Python string of each text, which is then encoded again; where the text is all that is needed of a
line, both can be left out. :func:`take_lines` takes lines that are objects of strings only, such as
``{"text": "...", "url": "..."}``, and stops before any other: numbers, nested values, a key that is there twice or
written with escapes, lone surrogates, and everything that is no JSON. Those are for :mod:`.jsonl`, which knows what to
say about them. What is taken here is exactly what it would make of it.

Strings are copied and searched 64 bytes at a time: what is found in a block is a word with one bit per byte, and only
these bits are gone through one by one. Importing this module loads numba.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from ...common.jit import jit

_WIDTH: Final = 64
PADDING: Final = bytes(_WIDTH)
"""What the bytes to be scanned must end with: so many are read at a time."""

_QUOTE, _BACKSLASH, _NEWLINE, _BLANK = 34, 92, 10, 32
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
    key
        uint8: the key, in quotes.
    escapes, digits
        What the byte after a backslash stands for, and the value of a hexadecimal digit.
    """

    data: NDArray[np.uint8]
    key: NDArray[np.uint8]
    escapes: NDArray[np.uint8]
    digits: NDArray[np.int64]


class Texts(NamedTuple):
    """What the texts are written to.

    Parameters
    ----------
    data
        uint8, as large as the source, padding included: one text after the other.
    lengths
        int32, as many as there may be lines: bytes of each text.
    """

    data: NDArray[np.uint8]
    lengths: NDArray[np.int32]


def source_of(content: bytes | bytearray, size: int, key: str) -> Source:
    """Lines of ``size`` bytes, ended by :data:`PADDING`, ready to be scanned for the strings under ``key``."""
    data = np.frombuffer(content, dtype=np.uint8, count=size + len(PADDING))
    quoted = f'"{key}"'.encode("utf-8", "surrogatepass")
    return Source(data, np.frombuffer(quoted, dtype=np.uint8), _ESCAPES, _DIGITS)


def room_for(size: int) -> Texts:
    """Room for all texts of lines of ``size`` bytes.

    No text is longer than what stands for it in JSON, and no line is shorter than the one below. Memory that is not
    written to costs nothing.
    """
    data = np.empty(size + len(PADDING), dtype=np.uint8)
    return Texts(data, np.empty(size // len(b'{"":""}') + 1, dtype=np.int32))


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
    data, out = source.data, texts.data
    if data[at] != _QUOTE:
        return np.int64(-1), used
    at += 1
    ahead = at - used
    while True:
        # Up to ``end`` the string is copied; ``odd`` is what remains to be seen to in the block at ``at``.
        odd: Any = _copy_block(data, at, out, at - ahead)  # type: ignore[call-arg]
        end = at + _WIDTH
        while odd != 0:
            below = _lowest_bit(odd)
            place = at + below
            byte = data[np.uint64(place)]
            if byte == _QUOTE:
                return place + 1, place - ahead
            if byte == _BACKSLASH:
                # Not in a function of its own: that would be called, which costs more than all the rest.
                taken, written = 2, 1
                letter = source.escapes[data[np.uint64(place + 1)]]
                out[np.uint64(place - ahead)] = letter
                if letter == 0:
                    taken, written = _take_code(source, place, out, place - ahead)
                ahead += taken - written
                # Whatever follows is now nearer to what comes before.
                _copy_block(data, place + taken, out, place + taken - ahead)
                end = max(end, place + taken)
            else:
                taken = _character(data, place)
                if place + taken > end:
                    _copy_block(data, place, out, place - ahead)
                    end = place + taken
            if taken == 0:
                return np.int64(-1), used
            odd &= ~(((np.uint64(1) << np.uint64(taken)) - np.uint64(1)) << np.uint64(below))
        at = end


@intrinsic
def _copy_block(_: Any, source: Any, at: Any, target: Any, used: Any) -> tuple[Any, Any]:
    """Copy 64 bytes; the bits of those that are a quote, a backslash, a control character or no ASCII (uint64).

    In vector instructions: those of the processor at hand, which LLVM finds.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = ir.VectorType(ir.IntType(8), _WIDTH)
        places = []
        for kind, array, place in zip(signature.args[::2], arguments[::2], arguments[1::2], strict=True):
            data = context.make_array(kind)(context, builder, array).data
            places.append(builder.bitcast(builder.gep(data, [place]), vector.as_pointer()))
        block = builder.load(places[0], align=1)
        builder.store(block, places[1], align=1)
        quote, backslash, blank = (ir.Constant(vector, [byte] * _WIDTH) for byte in (_QUOTE, _BACKSLASH, _BLANK))
        odd = builder.or_(builder.icmp_unsigned("==", block, quote), builder.icmp_unsigned("==", block, backslash))
        # As signed numbers, bytes that are no ASCII are below a blank too.
        odd = builder.or_(odd, builder.icmp_signed("<", block, blank))
        return builder.bitcast(odd, ir.IntType(_WIDTH))

    return types.uint64(source, types.int64, target, types.int64), generate


@intrinsic
def _lowest_bit(_: Any, bits: Any) -> tuple[Any, Any]:
    """How many bits of a word that is not 0 lie below the lowest one that is set."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), generate


@jit
def _take_code(source: Any, at: Any, out: NDArray[np.uint8], used: Any) -> tuple[Any, Any]:
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
def _character(data: NDArray[np.uint8], at: Any) -> Any:
    """How many bytes the character of several bytes of UTF-8 takes, or 0 if it is none."""
    first = np.int64(data[np.uint64(at)])
    size = 2 if 0xC2 <= first < 0xE0 else 3 if 0xE0 <= first < 0xF0 else 4 if 0xF0 <= first < 0xF5 else 0
    # Too long a form, a surrogate, beyond the last character (Unicode, table 3-7).
    low = 0xA0 if first == 0xE0 else 0x90 if first == 0xF0 else 0x80
    high = 0x9F if first == 0xED else 0x8F if first == 0xF4 else 0xBF
    if not low <= data[np.uint64(at + 1)] <= high:
        return 0
    for i in range(2, size):
        if data[np.uint64(at + i)] & 0xC0 != 0x80:
            return 0
    return size
