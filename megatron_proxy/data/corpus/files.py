r"""Documents from JSONL files, plain or packed with gzip, zstd, xz or bz2: one JSON object a line, UTF-8.

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

import glob
import io
import os
import shlex
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from ...common.storage.remote import is_remote, matching, open_file, size_of
from ...errors import CorpusError
from .archives import Archive
from .chunk import Lines, LineStream, where
from .decompress import STANDARD_INPUT, StandardInput, compression_of, unpacked_head
from .folders import folder
from .kinds import PACKED, PARQUET, TABLES, TAR, FileKind, kind_of, kind_of_file
from .plain_text import TextFile
from .source import AS_THEY_ARE, Bad, Chunk, Parsed, Source, Taking, unreadable
from .tables import Arrow, Parquet, check_installed, saved_files

DEFAULT_KEY: Final = "text"
CHUNK_BYTES: Final = 2 << 20


def expand(inputs: Sequence[str], taking: Taking = AS_THEY_ARE) -> list[Source]:
    """The sources that paths and globs name: in the order given, those of one glob sorted.

    Raises
    ------
    CorpusError
        For a glob without a match, and a file that is missing, of a kind that is not read, or named twice.
    """
    paths = [path for pattern in inputs for path in _matches(pattern)]
    for path, times in Counter(paths).items():
        if times > 1:
            raise CorpusError(f"{path!r} is named {times} times", where="--input", fix="name every file once")
    return [source for path in paths for source in _inspect(path, taking)]


def _matches(pattern: str) -> list[str]:
    try:
        found = matching(pattern) if is_remote(pattern) else _local_matches(pattern)
    except OSError as error:
        raise unreadable(pattern, error) from error
    if not found:
        raise CorpusError(f"no file matches {pattern!r}", where="--input")
    return found


def _local_matches(pattern: str) -> list[str]:
    if os.path.exists(pattern) or not glob.has_magic(pattern):
        return [pattern]
    # A folder that is there is meant as it is called, brackets and all; behind a wildcard, brackets may be either.
    folder = _folder_of(pattern)
    rest = pattern[len(folder) :]
    tried = (glob.glob(glob.escape(folder) + one, recursive=True) for one in (rest, rest.replace("[", "[[]")))
    return sorted(next(filter(None, tried), []))


def _folder_of(pattern: str) -> str:
    """The longest beginning of a pattern that names a folder, with the slash behind it; empty if there is none."""
    ends = (place for place in range(len(pattern), 0, -1) if pattern[place - 1] == "/")
    return next((pattern[:end] for end in ends if os.path.isdir(pattern[:end])), "")


def _inspect(path: str, taking: Taking) -> list[Source]:
    try:
        if path == STANDARD_INPUT:
            return [_of_stream(path, 0, kind_of(StandardInput.look()), taking)]
        if not is_remote(path):
            mode = os.stat(path).st_mode
            if stat.S_ISDIR(mode):
                return _of_folder(path, taking)
            if not stat.S_ISREG(mode):
                raise CorpusError("not a regular file", where=path, fix="name JSONL files, or a glob of them")
        size, kind = size_of(path), kind_of_file(path)
        return [_of_table(path, size, kind) if kind in TABLES else _of_stream(path, size, kind, taking)]
    except OSError as error:
        raise unreadable(path, error) from error


def _of_table(path: str, size: int, kind: FileKind | None) -> Source:
    if kind is not PARQUET and is_remote(path):
        raise CorpusError("Arrow files are mapped into memory, not read over a network", where=path, fix="copy it here")
    check_installed(path)
    return Parquet(path, size) if kind is PARQUET else Arrow(path, size)


def _of_folder(path: str, taking: Taking) -> list[Source]:
    """The sources in a folder."""
    saved = saved_files(path)
    if saved is not None:
        return [source for file in saved for source in _inspect(file, taking)]
    if taking.files is None:
        raise CorpusError(
            "is a folder",
            where=path,
            fix="name the files in it ('FOLDER/*.jsonl'), or take each as a document: --files '*.py'",
        )
    return [folder(path, taking.files)]


def _of_stream(path: str, size: int, kind: FileKind | None, taking: Taking) -> Source:
    """The source for what can be read from its beginning on."""
    compression = compression_of(path, kind)
    inside = _kind_inside(path, compression) if compression and kind in (None, *PACKED) else None
    if TAR in (kind, inside):
        return Archive(path, size, compression if inside else None, taking.files)
    if kind not in (None, *PACKED):
        raise _foreign(path, kind.name, kind)
    if inside is not None:
        raise _foreign(path, f"{inside.name}, packed with {compression}", inside)
    if compression and size == 0 and path != STANDARD_INPUT and not is_remote(path):
        raise CorpusError(f"the {compression} stream is truncated or damaged (the file is empty)", where=path)
    if taking.text_documents is not None:
        return TextFile(path, size, compression, taking.text_documents)
    if compression or path == STANDARD_INPUT or (is_remote(path) and not size):
        return LineStream(path, size, compression)
    return Lines(path, size)


def _kind_inside(path: str, compression: str) -> FileKind | None:
    """The kind of what a compressed file holds."""
    if path == STANDARD_INPUT:
        return kind_of(unpacked_head(io.BytesIO(StandardInput.look()), compression))
    with open_file(path) as file:
        return kind_of(unpacked_head(file, compression))


def _foreign(path: str, name: str, kind: FileKind) -> CorpusError:
    return CorpusError(f"the file is {name}; lines of JSON are needed", where=path, fix=kind.fix)


def chunks(sources: Sequence[Source], *, shard: tuple[int, int] = (0, 1), size: int = CHUNK_BYTES) -> Iterator[Chunk]:
    """The chunks of a corpus, or of its shard ``i`` of ``n``, in order.

    The sources are thought of as laid end to end and cut into ``n`` shards of equal bytes on disk. A plain file may
    fall into several shards, line by line; what can only be read from its beginning on belongs to the shard in which
    it begins.

    Raises
    ------
    CorpusError
        While iterating: a source that cannot be read, or is truncated.
    """
    for source, begin, end in shares(sources, shard):
        try:
            yield from source.cut(begin, end, size)
        except OSError as error:
            raise unreadable(source.path, error) from error


def shares[Taken: Source](sources: Sequence[Taken], shard: tuple[int, int]) -> Iterator[tuple[Taken, int, int]]:
    """Every source, and what of it is in a shard: what begins at the bytes ``begin … end - 1`` on disk."""
    index, count = shard
    total = sum(source.size for source in sources)
    first, last = total * index // count, total * (index + 1) // count
    # What is empty and stands at the very end begins there.
    last += index == count - 1
    offset = 0
    for source in sources:
        yield source, first - offset, last - offset
        offset += source.size


def read_chunk(chunk: Chunk, keys: Sequence[str]) -> Parsed:
    """The documents of a chunk; a CorpusError if the source cannot be read."""
    try:
        return chunk.read(keys)
    except OSError as error:
        raise unreadable(chunk.path, error) from error


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
    taking: Taking = AS_THEY_ARE,
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
    taking
        How sources are read that do not say it themselves.

    Raises
    ------
    CorpusError
        While iterating: a bad line, or a file that cannot be read.
    """
    for chunk in chunks(expand(inputs, taking)):
        parsed = read_chunk(chunk, [key])
        if parsed.bad and not skip_bad_lines:
            first = parsed.bad[0]
            raise bad_line(where(chunk, first), first)
        size = sum(map(len, parsed.documents[0]))
        yield from parsed.documents[0]
        if advance is not None:
            advance(len(parsed.documents[0]), size, chunk.disk_bytes)
