r"""Documents from JSONL files, plain or packed with gzip or zstd: one JSON object a line, UTF-8.

What counts as what:

* A **line** ends at ``\n`` and nowhere else; a last line without one counts too. Blank lines hold no document and are
  passed over, but counted, so that ``file:line`` in a message is what an editor shows. A byte-order mark at the start
  of a file is passed over.
* A **document** is the string under the JSON key, as UTF-8 bytes, unchanged: NUL, CRLF, emoji, empty strings.
* **Lone surrogates**, which UTF-8 has no bytes for, are how bytes that are not UTF-8 come in JSON, the way Python
  writes them (``json.dumps(content.decode("utf-8", "surrogateescape"))``): ``\udc80`` … ``\udcff`` are the bytes 0x80
  … 0xff. Any other lone surrogate, which stands for no byte, becomes its own three bytes (``surrogatepass``). Either
  way the document is not UTF-8.
* A **bad line** is one that is not UTF-8, not JSON, not an object, lacks the key, or has something other than a string
  under it. It is an error that names ``file:line``, or is counted and listed where the caller skips bad lines.

A file that is something else as a whole (:mod:`.kinds`) is an error even where bad lines are skipped.

Files are read in *chunks*, which can be shipped to other processes: a stretch of a plain file, which is read where it
is parsed, or a block of lines of a compressed file. Which process reads which chunk changes nothing in the outcome.
"""

from __future__ import annotations

import codecs
import glob
import os
import shlex
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from ...errors import CorpusError
from .chunk import Block, Chunk, Stretch
from .decompress import DamagedStream, compression_of, pieces, unpacked_head
from .jsonl import BadLine, Lack, parse_line
from .kinds import PACKED, Kind, kind_of, kind_of_file

DEFAULT_KEY: Final = "text"
CHUNK_BYTES: Final = 2 << 20


@dataclass(frozen=True)
class CorpusFile:
    """One file: its path, its size on disk in bytes, and how it is compressed ("gzip", "zstd" or None)."""

    path: str
    size: int
    compression: str | None


@dataclass(frozen=True)
class Bad:
    """A bad line: its number within the chunk (from 0), how many documents of the chunk precede it, and the reason.

    ``lack`` is the key that it lacks, if that is the reason.
    """

    line: int
    documents_before: int
    reason: str
    lack: Lack | None = field(default=None, compare=False)


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
        For a glob without a match, and a file that is missing, not a regular file, of another kind, or named twice.
    """
    paths = [path for pattern in inputs for path in _matches(pattern)]
    for path, times in Counter(paths).items():
        if times > 1:
            raise CorpusError(f"{path!r} is named {times} times", where="--input", fix="name every file once")
    return [_inspect(path) for path in paths]


def _matches(pattern: str) -> list[str]:
    if os.path.exists(pattern) or not glob.has_magic(pattern):
        return [pattern]
    # A folder that is there is meant as it is called, brackets and all; behind a wildcard, brackets may be either.
    folder = _folder_of(pattern)
    rest = pattern[len(folder) :]
    for tried in (rest, rest.replace("[", "[[]")):
        if found := sorted(glob.glob(glob.escape(folder) + tried, recursive=True)):
            return found
    raise CorpusError(f"no file matches {pattern!r}", where="--input")


def _folder_of(pattern: str) -> str:
    """The longest beginning of a pattern that names a folder, with the slash behind it; empty if there is none."""
    ends = (place for place in range(len(pattern), 0, -1) if pattern[place - 1] == "/")
    return next((pattern[:end] for end in ends if os.path.isdir(pattern[:end])), "")


def _inspect(path: str) -> CorpusFile:
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise CorpusError("not a regular file", where=path, fix="name JSONL files, or a glob of them")
        kind = kind_of_file(path)
        compression = compression_of(path, kind)
        inside = kind_of(unpacked_head(path, compression)) if compression and kind in (None, *PACKED) else None
    except OSError as error:
        raise unreadable(path, error) from error
    if kind not in (None, *PACKED):
        raise _foreign(path, kind.name, kind)
    if inside is not None:
        raise _foreign(path, f"{inside.name}, packed with {compression}", inside)
    if compression and status.st_size == 0:
        raise CorpusError(f"the {compression} stream is truncated or damaged (the file is empty)", where=path)
    return CorpusFile(path, status.st_size, compression)


def _foreign(path: str, name: str, kind: Kind) -> CorpusError:
    return CorpusError(f"the file is {name}; lines of JSON are needed", where=path, fix=kind.fix)


def unreadable(path: str, error: OSError) -> CorpusError:
    """The error for a file that cannot be read."""
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
        raise unreadable(path, error) from error
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
                bad.append(Bad(count, len(documents[0]), str(error), error.lack))
            count += 1
    except OSError as error:
        raise unreadable(chunk.path, error) from error
    return Parsed(count, documents, bad)


def bad_line(where: str, bad: Bad, flags: Mapping[str, str] = MappingProxyType({})) -> CorpusError:
    """The error for a bad line at ``file:line``.

    ``flags`` names the flags that ask for keys other than the text's, by key.
    """
    fix = "mend the line"
    if bad.lack is not None and bad.lack.key in flags:
        fix = f"name another key, {flags[bad.lack.key]} KEY"
    elif bad.lack is not None:
        fix = f"name another key, --json-keys {shlex.quote(bad.lack.instead or 'KEY')}"
    return CorpusError(bad.reason, where=where, fix=f"{fix}, or pass over bad lines with --skip-bad-lines")


def documents(
    inputs: Sequence[str],
    key: str = DEFAULT_KEY,
    *,
    skip_bad_lines: bool = False,
    advance: Callable[[int, int, int], None] | None = None,
) -> Iterator[bytes]:
    """The documents of a corpus, one after the other, in this process.

    Parameters
    ----------
    inputs
        Paths and globs.
    key
        The JSON key of the text.
    skip_bad_lines
        Pass over bad lines in silence.
    advance
        Called as documents are read, with how many they are, their bytes, and the bytes on disk that they are from.

    Raises
    ------
    CorpusError
        While iterating: a bad line, or a file that cannot be read.
    """
    for chunk in chunks(expand(inputs)):
        parsed = read_chunk(chunk, [key])
        if parsed.bad and not skip_bad_lines:
            first = parsed.bad[0]
            raise bad_line(f"{chunk.path}:{chunk.lines_before() + first.line + 1}", first)
        size = sum(map(len, parsed.documents[0]))
        yield from parsed.documents[0]
        if advance is not None:
            advance(len(parsed.documents[0]), size, chunk.disk_bytes)
