"""Files and standard input as streams of decompressed pieces; a damaged one is told apart from one that has ended."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import sys
import zlib
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Final

import zstandard

from ...common.storage.remote import open_file
from ...errors import CorpusError
from .kinds import BZ2, GZIP, HEAD_BYTES, XZ, ZSTD, FileKind

STANDARD_INPUT: Final = "-"
_PIECE_BYTES: Final = 1 << 20
_READ_BYTES: Final = 128 << 10
# What `zstd --long=31` writes; the library's own limit is a 128 MiB window.
_ZSTD_WINDOW_BYTES: Final = 2**31
_FORMS: Final = {
    "gzip": (GZIP, (".gz",)),
    "zstd": (ZSTD, (".zst", ".zstd")),
    "xz": (XZ, (".xz",)),
    "bz2": (BZ2, (".bz2",)),
}


class DamagedStream(Exception):  # noqa: N818 - callers turn it into an error that names the place reached
    """A compressed stream that is truncated or damaged."""


class StandardInput(io.RawIOBase):
    """Standard input as a file whose beginning can be looked at; it can be read once in a process."""

    head: bytes | None = None
    taken = False

    @classmethod
    def look(cls) -> bytes:
        """The first bytes; a CorpusError if it has been read already."""
        if cls.taken:
            raise CorpusError(
                "it can be read once, and this command reads its documents twice",
                where="standard input",
                fix="write it to a file, and name that",
            )
        if cls.head is None:
            cls.head = sys.stdin.buffer.read(HEAD_BYTES)
        return cls.head

    def __init__(self) -> None:
        super().__init__()
        self._head = self.look()
        type(self).taken = True
        self._position = 0

    def read(self, size: int = -1) -> bytes:
        """Up to ``size`` bytes."""
        found, self._head = self._head[:size], self._head[size:]
        found = found or sys.stdin.buffer.read(size)
        self._position += len(found)
        return found

    def tell(self) -> int:
        """How many bytes were read."""
        return self._position


def open_input(path: str) -> BinaryIO:
    """A file, or standard input."""
    return StandardInput() if path == STANDARD_INPUT else open_file(path)  # type: ignore[return-value]


def compression_of(path: str, kind: FileKind | None) -> str | None:
    """The name of a compression, by a file's kind, else by its ending; None for a plain file."""
    by_kind = next((name for name, (packed, _) in _FORMS.items() if kind is packed), None)
    return by_kind or next((name for name, (_, endings) in _FORMS.items() if path.endswith(endings)), None)


def unpacked_head(file: BinaryIO, compression: str) -> bytes:
    """The first bytes of the decompressed content; none if the stream is damaged there, which :func:`pieces` tells."""
    head = b""
    try:
        for piece in _unpack(file, compression):
            head += piece
            if len(head) >= HEAD_BYTES:
                break
    except DamagedStream:
        return b""
    return head[:HEAD_BYTES]


def pieces(path: str, compression: str | None) -> Iterator[tuple[bytes, int]]:
    """The decompressed content in pieces, each with the number of bytes read from disk by then.

    Several members or frames in one file are read as one stream.

    Raises
    ------
    DamagedStream
        If the stream is damaged, ends early, or is followed by something else.
    OSError
        If the file cannot be read.
    """
    with open_input(path) as file:
        for piece in _unpack(file, compression):
            yield piece, file.tell()


def blocks(
    path: str, compression: str | None, size: int, last_end: Callable[[bytes], int]
) -> Iterator[tuple[bytes, int, int]]:
    """The decompressed content in blocks of about ``size`` bytes, each with its bytes on disk and the lines before it.

    ``last_end`` tells where the last whole thing in a piece of content ends; 0 if there is none. A damaged stream is a
    CorpusError.
    """
    pending: list[bytes] = []
    lines = done = disk = 0
    try:
        for piece, disk in pieces(path, compression):
            cut = last_end(piece) if sum(map(len, pending)) + len(piece) >= size else 0
            if not cut:
                pending.append(piece)
                continue
            content = b"".join([*pending, piece[:cut]])
            yield content, disk - done, lines
            lines, done, pending = lines + content.count(b"\n"), disk, [piece[cut:]]
    except DamagedStream as error:
        reached = lines + sum(piece.count(b"\n") for piece in pending)
        raise damaged(f"{path}:{reached + 1}", compression, error) from error
    if rest := b"".join(pending):
        yield rest, disk - done, lines


def damaged(where: str, compression: str | None, error: DamagedStream) -> CorpusError:
    """The error for a compressed stream that is truncated or damaged."""
    return CorpusError(
        f"the {compression} stream is truncated or damaged ({error})",
        where=where,
        fix="fetch the file again; no part of it was taken",
    )


def _unpack(file: BinaryIO, compression: str | None) -> Iterator[bytes]:
    if compression is None:
        return iter(lambda: file.read(_PIECE_BYTES), b"")
    return _gunzip(file) if compression == "gzip" else _unframe(file, compression)


def _gunzip(file: BinaryIO) -> Iterator[bytes]:
    try:
        with gzip.GzipFile(fileobj=file) as stream:
            while piece := stream.read(_PIECE_BYTES):
                yield piece
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DamagedStream(str(error)) from error


def _unframe(file: BinaryIO, compression: str) -> Iterator[bytes]:
    # A frame at a time: the libraries' own readers take a truncated frame, or what follows the last, for the end.
    frame = None
    try:
        while data := file.read(_READ_BYTES):
            while data:
                if frame is None and compression == "xz" and not (data := data.lstrip(b"\0")):
                    break
                frame = frame or _decoder(compression)
                yield from _decoded(frame, data)
                data, frame = (frame.unused_data, None) if frame.eof else (b"", frame)
    except (zstandard.ZstdError, lzma.LZMAError, EOFError) as error:
        raise DamagedStream(str(error)) from error
    except OSError as error:
        # What bz2 says of damaged data; the system's errors have a number.
        if error.errno is None:
            raise DamagedStream(str(error)) from error
        raise
    if frame is not None:
        raise DamagedStream("the file ends inside a frame")


def _decoder(compression: str) -> Any:
    if compression == "zstd":
        return zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES).decompressobj()
    return lzma.LZMADecompressor(lzma.FORMAT_XZ) if compression == "xz" else bz2.BZ2Decompressor()


def _decoded(frame: Any, data: bytes) -> Iterator[bytes]:
    """What data decode to, in pieces: a few bytes of xz may stand for a gigabyte."""
    if not hasattr(frame, "needs_input"):
        if piece := frame.decompress(data):
            yield piece
        return
    while True:
        if piece := frame.decompress(data, _PIECE_BYTES):
            yield piece
        if frame.eof or frame.needs_input:
            return
        data = b""
