"""Compressed files as a stream of pieces; a truncated or damaged one is told apart from one that has ended."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from typing import BinaryIO, Final

from .kinds import GZIP, HEAD_BYTES, ZSTD, Kind

_PIECE_BYTES: Final = 1 << 20
_ZSTD_READ_BYTES: Final = 128 << 10
# What `zstd --long=31` writes; the library's own limit is a 128 MiB window.
_ZSTD_WINDOW_BYTES: Final = 2**31


class DamagedStream(Exception):  # noqa: N818 - callers turn it into an error that names the line reached
    """A compressed stream that is truncated or damaged."""


def compression_of(path: str, kind: Kind | None) -> str | None:
    """``"gzip"`` or ``"zstd"``, by a file's kind, else by its ending (.gz, .zst, .zstd); None for a plain file."""
    if kind is GZIP or path.endswith(".gz"):
        return "gzip"
    return "zstd" if kind is ZSTD or path.endswith((".zst", ".zstd")) else None


def unpacked_head(path: str, compression: str) -> bytes:
    """The first bytes of the decompressed content; none of a stream that is damaged there, which :func:`pieces` tells.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    with open(path, "rb") as file:
        try:
            if compression == "gzip":
                with gzip.GzipFile(fileobj=file) as stream:
                    return stream.read(HEAD_BYTES)
            return next(_unzstd(file), b"")[:HEAD_BYTES]
        except (EOFError, zlib.error, gzip.BadGzipFile, DamagedStream):
            return b""


def pieces(path: str, compression: str) -> Iterator[tuple[bytes, int]]:
    """The decompressed content in pieces, each with the number of bytes read from disk by then.

    Several members or frames in one file are read as one stream.

    Raises
    ------
    DamagedStream
        If the stream is damaged, ends early, or is followed by something else.
    OSError
        If the file cannot be read.
    """
    with open(path, "rb") as file:
        for piece in _gunzip(file) if compression == "gzip" else _unzstd(file):
            yield piece, file.tell()


def _gunzip(file: BinaryIO) -> Iterator[bytes]:
    try:
        with gzip.GzipFile(fileobj=file) as stream:
            while piece := stream.read(_PIECE_BYTES):
                yield piece
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DamagedStream(str(error)) from error


def _unzstd(file: BinaryIO) -> Iterator[bytes]:
    import zstandard

    decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES)
    # A frame at a time: zstandard's own stream reader takes a truncated frame for the end of the file.
    frame = None
    try:
        while data := file.read(_ZSTD_READ_BYTES):
            while data:
                frame = frame or decompressor.decompressobj()
                if piece := frame.decompress(data):
                    yield piece
                data, frame = (frame.unused_data, None) if frame.eof else (b"", frame)
    except zstandard.ZstdError as error:
        raise DamagedStream(str(error)) from error
    if frame is not None:
        raise DamagedStream("the file ends inside a frame")
