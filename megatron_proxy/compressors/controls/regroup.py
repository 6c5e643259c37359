"""Controls that do not compress: a document's bits in groups of 16, 8, 4, 2 or 1.

All are exact: a document of odd length ends in a literal byte as double bytes, so a trailing NUL stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final, Self, override

import numpy as np
from numpy.typing import NDArray

from ...errors import CompressorError
from ...vocab import NUM_BYTES
from .. import checks
from ..base import Compressor, Corpus, Encoded
from ..segments.segmenter import Segmenter, SegmentKind

# Spans for the mode `interleaved`; any border will do.
_SPANS: Final = Segmenter(SegmentKind.LINES, 256)


class _RegroupCompressor(Compressor):
    """Groups of bits as symbols, most significant first; nothing to set and nothing to learn."""

    spans = True
    control = True
    bits: ClassVar[int]
    """Bits per symbol."""

    @classmethod
    @override
    def build(cls, options: Mapping[str, Any], corpus: Corpus) -> Self:
        return cls()

    @classmethod
    @override
    def from_config(cls, config: Mapping[str, Any], files: Mapping[str, bytes]) -> Self:
        if config:
            raise CompressorError(f"{cls.name} has no settings, but the configuration has {', '.join(config)}")
        return cls()

    @override
    def config(self) -> dict[str, Any]:
        return {}

    @property
    @override
    def num_symbols(self) -> int:
        return 1 << self.bits

    @override
    def encode_spans(self, document: bytes) -> Encoded:
        ends = self._span_ends(document)
        return Encoded(self.encode(document), ends, -(-ends * 8 // self.bits))

    def _span_ends(self, document: bytes) -> NDArray[np.int64]:
        return _SPANS.ends(document)


class _PartCompressor(_RegroupCompressor):
    """Parts of a byte, or all of it."""

    @override
    def encode(self, document: bytes) -> NDArray[np.uint8]:
        data = np.frombuffer(document, dtype=np.uint8)
        codes = np.empty((len(data), 8 // self.bits), dtype=np.uint8)
        for i in range(codes.shape[1]):
            codes[:, i] = (data >> (8 - self.bits * (i + 1))) & (self.num_symbols - 1)
        return codes.reshape(-1)

    @override
    def decode(self, codes: NDArray[Any]) -> bytes:
        parts = 8 // self.bits
        codes = checks.codes_below(codes, self.num_symbols).astype(np.uint8)
        if len(codes) % parts:
            raise CompressorError(f"{len(codes)} codes are no whole number of bytes: {parts} make one")
        data = np.zeros(len(codes) // parts, dtype=np.uint8)
        for i in range(parts):
            data |= codes[i::parts] << (8 - self.bits * (i + 1))
        return data.tobytes()


class HalfByteCompressor(_PartCompressor):
    """Half bytes: 16 symbols, two per byte."""

    name = "halfbyte"
    bits = 4


class DoubleBitCompressor(_PartCompressor):
    """Double bits: 4 symbols, four per byte."""

    name = "doublebit"
    bits = 2


class BitCompressor(_PartCompressor):
    """Bits: 2 symbols, eight per byte."""

    name = "bit"
    bits = 1


class IdentityCompressor(_PartCompressor):
    """Bytes under other ids: 256 symbols, one per byte."""

    name = "identity"
    bits = 8

    @override
    def symbol_bytes(self) -> NDArray[np.int32]:
        return np.ones(self.num_symbols, dtype=np.int32)


class DoubleByteCompressor(_RegroupCompressor):
    """Double bytes: 65,536 symbols, one per two bytes; the last byte of an odd number is a literal."""

    name = "doublebyte"
    bits = 16
    literals = True

    @override
    def encode(self, document: bytes) -> NDArray[np.int32]:
        pairs = np.frombuffer(document, dtype=">u2", count=len(document) // 2)
        codes = np.empty(len(pairs) + len(document) % 2, dtype=np.int32)
        np.add(pairs, NUM_BYTES, out=codes[: len(pairs)], casting="unsafe", dtype=np.int32)
        codes[len(pairs) :] = list(document[2 * len(pairs) :])
        return codes

    @override
    def decode(self, codes: NDArray[Any]) -> bytes:
        codes = checks.codes_below(codes, self.vocabulary.num_codes)
        last = bytes([int(codes[-1])]) if len(codes) and codes[-1] < NUM_BYTES else b""
        pairs = codes[: len(codes) - len(last)]
        if len(pairs) and pairs.min() < NUM_BYTES:
            raise CompressorError("a literal byte that is not the last code")
        return (pairs.astype(np.int32) - NUM_BYTES).astype(">u2").tobytes() + last

    @override
    def _span_ends(self, document: bytes) -> NDArray[np.int64]:
        # Spans of an even number of bytes; the last one takes what is left.
        ends = super()._span_ends(document)
        return np.unique(np.concatenate((ends[:-1] & ~1, ends[-1:]))[ends > 1]) if len(document) > 1 else ends

    @override
    def symbol_bytes(self) -> NDArray[np.int32]:
        return np.full(self.num_symbols, 2, dtype=np.int32)
