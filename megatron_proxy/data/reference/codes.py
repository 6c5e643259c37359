"""Corpora compressed for the paper's own implementation, as compressed views.

A line of such a JSONL file holds the text, and under a key such as ``m1_ac_ow16`` the base64 of its compressed view:
values of 9 bits, packed from the least significant bit on. A value below 256 is a raw byte; 256 + b is byte b of
compressed output. ``ow16`` in the key says that the arithmetic coder's windows have 16 bits; a run of compressed bytes
is a row of windows, each in whole bytes, most significant first, padded at its end. A window is cut into symbols of
``bits`` bits, which must divide it. The result is what training reads there: literals, and 2^bits symbols.
"""

from __future__ import annotations

import base64
import binascii
import re
from itertools import accumulate, count, pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...common.jit import jit
from ...compressors.imported import ImportedCompressor
from ...errors import ConfigurationError, CorpusError
from ..prepare.raw_view import Sink
from ..prepare.staging import PendingView

MAX_WINDOW_BITS: Final = 64


def compressor_for(key: str, bits: int | None, window_bits: int | None = None) -> ImportedCompressor:
    """What stands for the compressor of the view under a JSON key.

    Parameters
    ----------
    key
        Such as ``m1_ac_ow16``.
    bits
        Bits per symbol; None leaves compressed bytes as they are, 256 symbols.
    window_bits
        Bits per window; None reads them off the key.

    Raises
    ------
    ConfigurationError
        If the key does not tell the window, or symbols do not divide it.
    """
    if window_bits is None:
        found = re.search(r"(?:^|_)ow(\d{1,3})(?:_|$)", key)
        if found is None and bits is not None:
            raise ConfigurationError(
                f"the key {key!r} does not tell the bits of a window (as '…_ow16' does)",
                where="--compressed-key",
                fix="give --window-bits",
            )
        window_bits = int(found[1]) if found else 8
    if not 1 <= window_bits <= MAX_WINDOW_BITS:
        raise ConfigurationError(
            f"windows of {window_bits} bits: 1 to {MAX_WINDOW_BITS} can be read", where="--window-bits"
        )
    if bits is not None and (not 1 <= bits <= 24 or window_bits % bits):
        raise ConfigurationError(
            f"symbols of {bits} bits do not divide a window of {window_bits}",
            where="--bits",
            fix="give a divisor up to 24",
        )
    return ImportedCompressor(bits, window_bits, key)


def codes_of(value: bytes, compressor: ImportedCompressor, number: int) -> NDArray[Any]:
    """The codes that the value of document ``number`` (from 1) stands for: 1-D, the dtype of the vocabulary.

    Raises
    ------
    CorpusError
        Naming the document, if its value is not base64, has bits left over, or compressed bytes that are no whole
        windows.
    """
    where = f"{compressor.key!r} of document {number:,}"
    try:
        packed = np.frombuffer(base64.b64decode(value, validate=True), dtype=np.uint8)
    except binascii.Error as error:
        raise CorpusError(f"not base64 ({error})", where=where) from error
    rest = 8 * len(packed) % 9
    if rest > 7 or (rest and packed[-1] >> 8 - rest):
        raise CorpusError("the packed values end within a value", where=where)
    begins = 9 * np.arange(8 * len(packed) // 9)
    pairs = packed[begins // 8] | packed[begins // 8 + 1].astype(np.uint16) << 8
    values = (pairs >> begins % 8 & 511).astype(np.uint16)
    if compressor.bits is None:
        return values.astype(compressor.vocabulary.code_dtype)
    codes = np.empty(len(values) * (1 + 8 // compressor.bits), dtype=compressor.vocabulary.code_dtype)
    used = _pack(values, compressor.window_bits, compressor.bits, codes)
    if used < 0:
        raise CorpusError(
            f"the compressed bytes at value {-1 - used} are no whole number of {compressor.window_bits}-bit windows",
            where=where,
        )
    return codes[:used].copy()


def code_sink(pending: PendingView, compressor: ImportedCompressor) -> Sink:
    """Takes the values of the compressed key, in order, and writes their codes."""
    numbers = count(1)

    def write(units: bytes | memoryview, lengths: NDArray[np.int32]) -> None:
        borders = pairwise(accumulate(lengths.tolist(), initial=0))
        codes = [codes_of(bytes(units[begin:end]), compressor, next(numbers)) for begin, end in borders]
        pending.add(b"".join(one.tobytes() for one in codes), np.array([len(one) for one in codes], dtype=np.int32))

    return write


@jit
def _pack(values: NDArray[np.uint16], window_bits: int, bits: int, codes: NDArray[Any]) -> int:
    """Fill ``codes``; returns how many, or ``-1 - place`` of a run that is no whole number of windows."""
    width = (window_bits + 7) // 8
    padding = np.uint64(8 * width - window_bits)
    mask = (np.uint64(1) << np.uint64(bits)) - np.uint64(1)
    count = 0
    at = 0
    while at < len(values):
        if values[at] < 256:
            codes[count] = values[at]
            count += 1
            at += 1
            continue
        window = np.uint64(0)
        for i in range(width):
            if at + i >= len(values) or values[at + i] < 256:
                return -1 - at
            window = (window << np.uint64(8)) | np.uint64(values[at + i] - 256)
        window >>= padding
        for shift in range(window_bits - bits, -1, -bits):
            codes[count] = np.uint64(256) + ((window >> np.uint64(shift)) & mask)
            count += 1
        at += width
    return count
