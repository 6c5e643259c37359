"""gzip over the whole document: the paper's control, too unstable to transfer.

An ordinary gzip member (RFC 1952) with modification time 0, no name and a fixed operating system byte, around the raw
deflate stream of this machine's zlib: same bytes on every run. Another zlib may make other bytes: see
:mod:`megatron_proxy.compressors.library_probe`.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final, Self, override

import numpy as np
from numpy.typing import NDArray

from ...errors import CompressorError
from .. import checks, library_probe
from ..base import Compressor, Corpus
from ..options import MADE, Options, Setting

# Magic, deflate, no flags, time 0, no extra flags, operating system unknown.
_HEADER: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_TRAILER: Final = struct.Struct("<II")  # CRC-32 and length modulo 2^32
_RAW_DEFLATE: Final = -zlib.MAX_WBITS
_MEMORY_LEVEL: Final = 8


@dataclass(frozen=True)
class GzipOptions(Options):
    """zlib's level, and the digest of what the library must make of the probe text; empty to take this machine's."""

    level: Annotated[int, Setting("compression level, 1 to 9", 1, 9, stored=True)] = 9
    probe: Annotated[str, MADE] = ""


class GzipCompressor(Compressor):
    """gzip at one level."""

    name = "gzip"
    control = True
    options = GzipOptions.flags()

    def __init__(self, settings: GzipOptions) -> None:
        self.level = settings.level
        self._checked = not settings.probe
        self.settings = replace(settings, probe=settings.probe or library_probe.digest(self._deflate))

    @classmethod
    @override
    def build(cls, options: Mapping[str, Any], corpus: Corpus) -> Self:
        return cls(GzipOptions.given(options, cls.name))

    @classmethod
    @override
    def from_config(cls, config: Mapping[str, Any], files: Mapping[str, bytes]) -> Self:
        return cls(GzipOptions.restored(config))

    @override
    def config(self) -> dict[str, Any]:
        return self.settings.stored()

    @property
    @override
    def num_symbols(self) -> int:
        return 256

    @override
    def encode(self, document: bytes) -> NDArray[np.uint8]:
        if not self._checked:
            library_probe.check(self.settings.probe, self._deflate, f"zlib {zlib.ZLIB_RUNTIME_VERSION}")
            self._checked = True
        if not document:
            return np.empty(0, dtype=np.uint8)
        trailer = _TRAILER.pack(zlib.crc32(document), len(document) & 0xFFFFFFFF)
        return np.frombuffer(b"".join((_HEADER, self._deflate(document), trailer)), dtype=np.uint8)

    def _deflate(self, text: bytes) -> bytes:
        deflater = zlib.compressobj(self.level, zlib.DEFLATED, _RAW_DEFLATE, _MEMORY_LEVEL)
        return deflater.compress(text) + deflater.flush()

    @override
    def decode(self, codes: NDArray[Any]) -> bytes:
        member = checks.codes_below(codes, self.num_symbols).astype(np.uint8).tobytes()
        if not member:
            return b""
        if len(member) < len(_HEADER) + _TRAILER.size or not member.startswith(_HEADER):
            raise CompressorError("these codes are not a gzip member as it is made here")
        document = _inflate(member[len(_HEADER) : -_TRAILER.size])
        if _TRAILER.unpack(member[-_TRAILER.size :]) != (zlib.crc32(document), len(document) & 0xFFFFFFFF):
            raise CompressorError("the gzip member's checksum or length does not fit its content")
        if not document:
            raise CompressorError("a gzip member without content: the empty document has no codes")
        return document


def _inflate(deflated: bytes) -> bytes:
    """The content of exactly one raw deflate stream."""
    # Deflate expands to 1,032 times its size at most, so the output stays in proportion.
    inflater = zlib.decompressobj(_RAW_DEFLATE)
    try:
        document = inflater.decompress(deflated)
    except zlib.error as error:
        raise CompressorError(f"zlib cannot decompress the document: {error}") from error
    if inflater.unused_data:
        raise CompressorError("something follows the gzip member's content")
    if not inflater.eof:
        raise CompressorError("a truncated gzip member")
    return document
