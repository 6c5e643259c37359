"""Chunks: stretches of plain files and blocks of compressed ones, as they are shipped to other processes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

_READ_BYTES: Final = 1 << 20


@dataclass(frozen=True)
class Stretch:
    """The lines of a plain file that *begin* at the offsets ``begin … end - 1``."""

    path: str
    begin: int
    end: int

    @property
    def disk_bytes(self) -> int:
        """How many bytes of the file on disk this chunk stands for."""
        return self.end - self.begin

    @property
    def at_start(self) -> bool:
        """Whether the file's first line is among these."""
        return self.begin == 0

    def lines(self) -> Iterator[bytes]:
        """The lines, one after the other, each with its newline."""
        with open(self.path, "rb", buffering=_READ_BYTES) as file:
            position = self._first_line(file)
            while position < self.end and (line := file.readline()):
                position += len(line)
                yield line

    def lines_before(self) -> int:
        """How many lines begin before this stretch. Reads all of the file before it: for messages only."""
        found, left, last = 0, self.begin, b"\n"
        with open(self.path, "rb") as file:
            while left and (block := file.read(min(left, _READ_BYTES))):
                found += block.count(b"\n")
                left -= len(block)
                last = block[-1:]
        return found + (last != b"\n")

    def _first_line(self, file: BinaryIO) -> int:
        """Put the file at the first line that begins in the stretch, and return where that is."""
        if self.at_start:
            return 0
        file.seek(self.begin - 1)
        # A stretch inside one huge line must not read on to that line's end: its neighbours would all do the same.
        rest = file.readline(self.end - self.begin + 1)
        return self.begin - 1 + len(rest) if rest.endswith(b"\n") else self.end


@dataclass(frozen=True)
class Block:
    """Whole lines of a compressed file, decompressed. Made in order, so the number of lines before it is known."""

    path: str
    content: bytes
    disk_bytes: int
    before: int

    @property
    def at_start(self) -> bool:
        """Whether the file's first line is among these."""
        return self.before == 0

    def lines(self) -> Iterator[bytes]:
        """The lines, one after the other, each with its newline."""
        begin = 0
        while begin < len(self.content):
            end = self.content.find(b"\n", begin) + 1 or len(self.content)
            yield self.content[begin:end]
            begin = end

    def lines_before(self) -> int:
        """How many lines of the file come before this block."""
        return self.before


Chunk = Stretch | Block


class LineNumbers:
    """Turns lines within chunks into lines within files, for chunks that come in order.

    Only a shard that begins inside a file needs to count what lies before it, and only when a line is asked for.
    """

    def __init__(self) -> None:
        self._chunk: Chunk = Block("", b"", 0, 0)
        self._lines = 0
        self._before: int | None = 0

    def enter(self, chunk: Chunk, lines: int) -> None:
        """The next chunk, and how many lines it has."""
        if chunk.path != self._chunk.path:
            self._before = 0 if chunk.at_start else None
        elif self._before is not None:
            self._before += self._lines
        self._chunk, self._lines = chunk, lines

    def where(self, line: int) -> str:
        """``file:line``, from 1, of a line (from 0) within the chunk entered last."""
        if self._before is None:
            self._before = self._chunk.lines_before()
        return f"{self._chunk.path}:{self._before + line + 1}"
