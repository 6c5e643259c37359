r"""Documents from JSONL files: ``.jsonl``, ``.jsonl.gz``, ``.jsonl.zst``, one JSON object a line, UTF-8.

What counts as what:

* A **line** ends at ``\n`` and nowhere else; a last line without one counts too. Blank lines hold no document and are
  passed over, but counted, so that ``file:line`` in a message is what an editor shows. A byte-order mark at the start
  of a file is passed over.
* A **document** is the string under the JSON key, as UTF-8 bytes, unchanged: NUL, CRLF, emoji, empty strings.
* **Bytes that are not UTF-8** come as lone surrogates, the way Python writes them in JSON
  (``json.dumps(content.decode("utf-8", "surrogateescape"))``): ``\udc80`` … ``\udcff`` are the bytes 0x80 … 0xff. Any
  other lone surrogate, which stands for no byte, becomes its own three bytes (``surrogatepass``).
* A **bad line** is one that is not UTF-8, not JSON, not an object, lacks the key, or has something other than a string
  under it. It is an error that names ``file:line``, or is counted and listed where the caller skips bad lines.

Files are read in *chunks*, which can be shipped to other processes: a stretch of a plain file, which is read where it
is parsed, or a block of lines of a compressed file. Which process reads which chunk changes nothing in the outcome.
"""

from __future__ import annotations

import codecs
import glob
import os
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Final

from .decompress import DamagedStream, compression_of, pieces
from .errors import CorpusError
from .jsonl import BadLine, parse_line

DEFAULT_KEY: Final = "text"
CHUNK_BYTES: Final = 2 << 20

_READ_BYTES: Final = 1 << 20


@dataclass(frozen=True)
class CorpusFile:
    """One file: its path, its size on disk in bytes, and how it is compressed ("gzip", "zstd" or None)."""

    path: str
    size: int
    compression: str | None


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


@dataclass(frozen=True)
class Bad:
    """A bad line: its number within the chunk (from 0), how many documents of the chunk precede it, and the reason."""

    line: int
    documents_before: int
    reason: str


@dataclass(frozen=True)
class Parsed:
    """What the lines of a chunk hold.

    Parameters
    ----------
    lines
        How many lines there are, blank and bad ones included.
    documents
        For each key the documents, in order; all keys have the same number.
    bad
        The bad lines, in order.
    """

    lines: int
    documents: list[list[bytes]]
    bad: list[Bad]


def expand(inputs: Sequence[str]) -> list[CorpusFile]:
    """The files that paths and globs name: in the order given, those of one glob sorted.

    Raises
    ------
    CorpusError
        For a glob without a match, and a file that is missing, not a regular file, or named twice.
    """
    paths = [path for pattern in inputs for path in _matches(pattern)]
    for path, times in Counter(paths).items():
        if times > 1:
            raise CorpusError(f"{path!r} is named {times} times", where="--input", fix="name every file once")
    return [_inspect(path) for path in paths]


def _matches(pattern: str) -> list[str]:
    if os.path.exists(pattern) or not glob.has_magic(pattern):
        return [pattern]
    if not (found := sorted(glob.glob(pattern, recursive=True))):
        raise CorpusError(f"no file matches {pattern!r}", where="--input")
    return found


def _inspect(path: str) -> CorpusFile:
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise CorpusError("not a regular file", where=path, fix="name JSONL files, or a glob of them")
        file = CorpusFile(path, status.st_size, compression_of(path))
    except OSError as error:
        raise _unreadable(path, error) from error
    if file.compression and file.size == 0:
        raise CorpusError(f"the {file.compression} stream is truncated or damaged (the file is empty)", where=path)
    return file


def _unreadable(path: str, error: OSError) -> CorpusError:
    return CorpusError(f"cannot be read ({error.strerror})", where=path)


def chunks(files: Sequence[CorpusFile], *, shard: tuple[int, int] = (0, 1), size: int = CHUNK_BYTES) -> Iterator[Chunk]:
    """The chunks of a corpus, or of its shard ``i`` of ``n``, in order.

    The files are thought of as laid end to end and cut into ``n`` shards of equal bytes on disk. A plain file may fall
    into several shards, line by line; a compressed file belongs to the shard in which it begins.

    Raises
    ------
    CorpusError
        While iterating: a file that cannot be read, or is truncated.
    """
    index, count = shard
    total = sum(file.size for file in files)
    first, last = index * total // count, (index + 1) * total // count
    offset = 0
    for file in files:
        if file.compression is None:
            begin, end = max(first - offset, 0), min(last - offset, file.size)
            for start in range(begin, end, size):
                yield Stretch(file.path, start, min(start + size, end))
        elif first <= offset < last:
            yield from _blocks(file.path, file.compression, size)
        offset += file.size


def _blocks(path: str, compression: str, size: int) -> Iterator[Block]:
    """The lines of a compressed file in blocks of about ``size`` bytes."""
    pending: list[bytes] = []
    lines = done = disk = 0
    try:
        for piece, disk in pieces(path, compression):
            cut = piece.rfind(b"\n") + 1 if sum(map(len, pending)) + len(piece) >= size else 0
            if not cut:
                pending.append(piece)
                continue
            content = b"".join([*pending, piece[:cut]])
            yield Block(path, content, disk - done, lines)
            lines, done, pending = lines + content.count(b"\n"), disk, [piece[cut:]]
    except OSError as error:
        raise _unreadable(path, error) from error
    except DamagedStream as error:
        reached = lines + sum(piece.count(b"\n") for piece in pending)
        raise CorpusError(
            f"the {compression} stream is truncated or damaged ({error})",
            where=f"{path}:{reached + 1}",
            fix="fetch the file again; no part of it was taken",
        ) from error
    if rest := b"".join(pending):
        yield Block(path, rest, disk - done, lines)


def read_chunk(chunk: Chunk, keys: Sequence[str]) -> Parsed:
    """Parse the lines of a chunk.

    Raises
    ------
    CorpusError
        If the file cannot be read.
    """
    documents: list[list[bytes]] = [[] for _ in keys]
    bad: list[Bad] = []
    count = 0
    try:
        for line in chunk.lines():
            if count == 0 and chunk.at_start:
                line = line.removeprefix(codecs.BOM_UTF8)
            try:
                for found, document in zip(documents, parse_line(line, keys), strict=False):
                    found.append(document)
            except BadLine as error:
                bad.append(Bad(count, len(documents[0]), str(error)))
            count += 1
    except OSError as error:
        raise _unreadable(chunk.path, error) from error
    return Parsed(count, documents, bad)


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


def bad_line(where: str, reason: str) -> CorpusError:
    """The error for a bad line at ``file:line``."""
    return CorpusError(reason, where=where, fix="mend the line, or pass over bad lines with --skip-bad-lines")


def documents(inputs: Sequence[str], key: str = DEFAULT_KEY, *, skip_bad_lines: bool = False) -> Iterator[bytes]:
    """The documents of a corpus, one after the other, in this process.

    Parameters
    ----------
    inputs
        Paths and globs.
    key
        The JSON key of the text.
    skip_bad_lines
        Pass over bad lines in silence.

    Raises
    ------
    CorpusError
        While iterating: a bad line, or a file that cannot be read.
    """
    for chunk in chunks(expand(inputs)):
        parsed = read_chunk(chunk, [key])
        if parsed.bad and not skip_bad_lines:
            first = parsed.bad[0]
            raise bad_line(f"{chunk.path}:{chunk.lines_before() + first.line + 1}", first.reason)
        yield from parsed.documents[0]
