"""The documents of a chunk end to end, as they are stored."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .chunk import Block, Chunk
from .files import Bad, read_chunk, unreadable
from .jsonl import MAX_DOCUMENT_BYTES, BadLine, parse_line

# After so many lines in a row that the scanner leaves to the parser, the rest of the chunk goes to the parser at once.
_PATIENCE: Final = 8
# Memory that was needed for larger chunks, with a huge document, is not kept.
_KEPT_BYTES: Final = 1 << 24


@dataclass(frozen=True)
class Joined:
    """What the lines of a chunk hold.

    Parameters
    ----------
    lines
        How many lines there are, blank and bad ones included.
    texts
        For each key the bytes of all documents one after the other, and the length of each (int32).
    bad
        The bad lines, in order.
    """

    lines: int
    texts: list[tuple[bytes | memoryview, NDArray[np.int32]]]
    bad: list[Bad]

    def first(self, count: int) -> Joined:
        """The same with the first ``count`` documents only, and the bad lines among them."""
        if count >= len(self.texts[0][1]):
            return self
        texts = [(units[: int(lengths[:count].sum())], lengths[:count]) for units, lengths in self.texts]
        return replace(self, texts=texts, bad=[bad for bad in self.bad if bad.documents_before < count])


def read_joined(keys: Sequence[str], chunk: Chunk) -> Joined:
    """The same documents as :func:`.files.read_chunk` gives, end to end.

    Raises
    ------
    CorpusError
        If the file cannot be read.
    """
    parsed = read_chunk(chunk, keys)
    texts: list[tuple[bytes | memoryview, NDArray[np.int32]]] = []
    for documents in parsed.documents:
        lengths = np.fromiter(map(len, documents), dtype=np.int32, count=len(documents))
        texts.append((b"".join(documents), lengths))
        # The joined bytes take their place: a document of 100 MB should not be held twice.
        documents.clear()
    return Joined(parsed.lines, texts, parsed.bad)


class ScannerError(Exception):
    """The scanner cannot be compiled; :func:`read_joined` does the same."""


class TextReader:
    """Does what :func:`read_joined` does for one key, three times as fast once its code is loaded.

    It keeps its memory from one chunk to the next: fresh memory costs half as much as reading and parsing.

    Parameters
    ----------
    key
        The JSON key.
    lend
        Give the texts where they are, in the reader's own memory: they are good until the next chunk is read.

    Raises
    ------
    ScannerError
        If numba or llvmlite does not offer what the scanner is made of, which their releases may change.
    """

    def __init__(self, key: str, *, lend: bool = False) -> None:
        self._key = key
        self._lend = lend
        self._content = bytearray()
        try:
            # This loads numba.
            from . import scan

            self._scanner = scan
            self._room = scan.room_for(0)
            # What is not in numba's cache is compiled now.
            self(Block("", b'{"": ""}\n', 0, 1))
        except Exception as error:  # Whatever is no longer there.
            # numba's messages go on for pages.
            raise ScannerError(f"{type(error).__name__}: {str(error).partition('\n')[0]}") from error

    def __call__(self, chunk: Chunk) -> Joined:
        """Read a chunk.

        Raises
        ------
        CorpusError
            If the file cannot be read.
        """
        try:
            size = chunk.read(self._content)
        except OSError as error:
            raise unreadable(chunk.path, error) from error
        if size > MAX_DOCUMENT_BYTES:
            self._content = bytearray()
            return read_joined([self._key], chunk)
        lines, count, used, bad = self._scan(size, chunk.at_start)
        large = size > _KEPT_BYTES
        if large:
            # Before the texts are copied: a document of 100 MB should not be held more often than it must.
            self._content = bytearray()
        texts, lengths = memoryview(self._room.data[:used]), self._room.lengths[:count]
        if large:
            self._room = self._scanner.room_for(0)
        return Joined(lines, [(texts, lengths) if self._lend else (texts.tobytes(), lengths.copy())], bad)

    def _scan(self, size: int, at_start: bool) -> tuple[int, int, int, list[Bad]]:
        """Fill the room; how many lines and texts there are, how many bytes the texts take, and the bad lines."""
        content = self._content
        content[size : size + len(self._scanner.PADDING)] = self._scanner.PADDING
        if len(self._room.data) < len(content):
            self._room = self._scanner.room_for(len(content))
        source, texts = self._scanner.source_of(content, size, self._key), self._room
        at = len(codecs.BOM_UTF8) if at_start and content.startswith(codecs.BOM_UTF8, 0, size) else 0
        lines = count = used = unusual = 0
        bad: list[Bad] = []
        while at < size:
            if unusual < _PATIENCE:
                at, taken, count, used = self._scanner.take_lines(source, at, size, texts, count, used)
                lines += taken
                unusual = 0 if taken else unusual
                if at >= size:
                    break
            stop = content.find(b"\n", at, size) + 1 or size
            try:
                for document in parse_line(bytes(memoryview(content)[at:stop]), [self._key]):
                    texts.data[used : used + len(document)] = np.frombuffer(document, dtype=np.uint8)
                    texts.lengths[count] = len(document)
                    count, used = count + 1, used + len(document)
            except BadLine as error:
                bad.append(Bad(lines, count, str(error), error.lack))
            at, lines, unusual = stop, lines + 1, unusual + 1
        return lines, count, used, bad
