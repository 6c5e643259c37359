"""Lines of JSON as a source: stretches of plain files and blocks of streams, as they are shipped to other processes."""

from __future__ import annotations

import codecs
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Final

from ...common.storage.remote import open_file
from .decompress import blocks
from .jsonl import BadLine, parse_line
from .source import Bad, Chunk, Parsed, Source

LINES: Final = "JSONL"
_READ_BYTES: Final = 1 << 20


@dataclass(frozen=True)
class Stretch(Chunk):
    """The lines of a plain file that *begin* at the offsets ``begin … begin + disk_bytes - 1``."""

    begin: int

    def lines(self) -> Iterator[bytes]:
        """The lines, one after the other, each with its newline."""
        end = self.begin + self.disk_bytes
        with open_file(self.path, _READ_BYTES) as file:
            position = self._first_line(file)
            while position < end and (line := file.readline()):
                position += len(line)
                yield line

    def read(self, keys: Sequence[str]) -> Parsed:
        """What the lines hold."""
        return parse_lines(self.lines(), keys, at_start=self.begin == 0)

    def lines_before(self) -> int:
        """How many lines begin before this stretch. Reads all of the file before it: for messages only."""
        found, left, last = 0, self.begin, b"\n"
        with open_file(self.path) as file:
            while left and (block := file.read(min(left, _READ_BYTES))):
                found += block.count(b"\n")
                left -= len(block)
                last = block[-1:]
        return found + (last != b"\n")

    def _first_line(self, file: BinaryIO) -> int:
        """Put the file at the first line that begins in the stretch, and return where that is."""
        if self.begin == 0:
            return 0
        file.seek(self.begin - 1)
        # A stretch inside one huge line must not read on to that line's end: its neighbours would all do the same.
        rest = file.readline(self.disk_bytes + 1)
        return self.begin + (len(rest) - 1 if rest.endswith(b"\n") else self.disk_bytes)


@dataclass(frozen=True)
class Unpacked(Chunk):
    """Whole lines of a file that is read in order, so that the number of lines before them is known."""

    content: bytes
    before: int

    def place(self, line: int) -> str:
        """The place of one of these lines (from 0) in the file."""
        return f"{self.path}:{self.before + line + 1}"


class Block(Unpacked):
    """Lines of JSON."""

    def read(self, keys: Sequence[str]) -> Parsed:
        """What the lines hold."""
        return parse_lines(io.BytesIO(self.content), keys, at_start=self.before == 0, place=self.place)


def parse_lines(
    lines: Iterable[bytes], keys: Sequence[str], *, at_start: bool, place: Callable[[int], str] | None = None
) -> Parsed:
    """What lines hold, of which the first is the file's first if ``at_start``; ``place`` tells where each is, if known.

    Lines are counted from 0.
    """
    documents: list[list[bytes]] = [[] for _ in keys]
    bad: list[Bad] = []
    count = 0
    for line in lines:
        if count == 0 and at_start:
            line = line.removeprefix(codecs.BOM_UTF8)
        try:
            for found, document in zip(documents, parse_line(line, keys), strict=False):
                found.append(document)
        except BadLine as error:
            bad.append(Bad(count, len(documents[0]), str(error), error.lack, place and place(count)))
        count += 1
    return Parsed(count, documents, bad)


class Lines(Source):
    """A plain file of lines of JSON."""

    kind = LINES

    def cut(self, begin: int, end: int, size: int) -> Iterator[Stretch]:
        """Stretches: any process can read any of them."""
        begin, end = max(begin, 0), min(end, self.size)
        for start in range(begin, end, size):
            yield Stretch(self.path, min(size, end - start), start)


@dataclass(frozen=True)
class LineStream(Source):
    """Lines of JSON that are read from the first on: of a compressed file, or from standard input (``-``)."""

    kind = LINES
    compression: str | None

    def cut(self, begin: int, end: int, size: int) -> Iterator[Block]:
        """Blocks of lines, if the file begins there."""
        if begin <= 0 < end:
            found = blocks(self.path, self.compression, size, lambda content: content.rfind(b"\n") + 1)
            for content, disk_bytes, before in found:
                yield Block(self.path, disk_bytes, content, before)


class LineNumbers:
    """Turns lines within chunks into lines within files, for chunks that come in order.

    Only a shard that begins inside a file needs to count what lies before it, and only when a line is asked for.
    """

    def __init__(self) -> None:
        self._stretch = Stretch("", 0, 0)
        self._lines = 0
        self._before: int | None = 0

    def enter(self, chunk: Chunk | None, lines: int) -> None:
        """The next chunk, and how many lines it has; what is no stretch knows its places."""
        if not isinstance(chunk, Stretch):
            return
        if chunk.path != self._stretch.path:
            self._before = 0 if chunk.begin == 0 else None
        elif self._before is not None:
            self._before += self._lines
        self._stretch, self._lines = chunk, lines

    def where(self, bad: Bad) -> str:
        """Where a bad line of the chunk entered last is: ``file:line``, from 1, if it does not say so itself."""
        if bad.place is not None:
            return bad.place
        if self._before is None:
            self._before = self._stretch.lines_before()
        return f"{self._stretch.path}:{self._before + bad.line + 1}"


def where(chunk: Chunk, bad: Bad) -> str:
    """The place of a bad one, for people."""
    numbers = LineNumbers()
    numbers.enter(chunk, 0)
    return numbers.where(bad)
