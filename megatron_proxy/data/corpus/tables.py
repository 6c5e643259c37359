"""Tables: Parquet files and Arrow files, also those of folders that Hugging Face's ``datasets`` saved.

A column of strings or bytes is taken as it is, one document a row; a row in which a key is null is a bad one. A key
that is no column's name reaches into records, as in JSONL. Tables are cut by row groups (Parquet) or record batches
(Arrow), and those into rows: a process that is given rows of a group one after the other goes on where it was, so that
no group is ever held whole.
"""

from __future__ import annotations

import json
import os
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from ...common import extras
from ...common.storage.remote import is_remote, open_file
from ...errors import CorpusError, ProxyError
from .jsonl import MAX_DOCUMENT_BYTES, too_long
from .source import Bad, Chunk, Parsed, Source

_STREAM_END: Final = b"\xff\xff\xff\xff\0\0\0\0"
_SAVED: Final = "state.json"
_SAVED_SPLITS: Final = "dataset_dict.json"


def check_installed(path: str) -> None:
    """Refuse tables where pyarrow is missing, by a ConfigurationError with the extra that brings it."""
    try:
        import pyarrow  # noqa: F401 - only whether it is there
    except ImportError as error:
        raise extras.missing("pyarrow", path) from error


def saved_files(path: str) -> list[str] | None:
    """The Arrow files of a folder that ``datasets`` saved, in its order; None for another folder.

    Raises
    ------
    OSError
        If the folder cannot be read.
    CorpusError
        If it holds several splits, or what it says of its files is damaged.
    """
    if os.path.exists(os.path.join(path, _SAVED_SPLITS)):
        raise CorpusError("holds several splits", where=path, fix="name the folder of one: …/train")
    state = os.path.join(path, _SAVED)
    if not os.path.exists(state):
        return None
    try:
        with open(state, "rb") as file:
            names = [str(data["filename"]) for data in json.load(file)["_data_files"]]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CorpusError(f"does not name a dataset's files ({type(error).__name__}: {error})", where=state) from error
    for name in names:
        if os.path.basename(name) != name:
            raise CorpusError(f"names a file outside its folder, {name!r}", where=state)
    return [os.path.join(path, name) for name in names]


@dataclass(frozen=True)
class _Table(Source):
    """A table on disk, as a sequence of groups of rows."""

    @abstractmethod
    def groups(self) -> Iterator[tuple[int, int, int]]:
        """Of each group: the rows, the bytes that they are in memory, and the byte on disk at which it begins."""

    @abstractmethod
    def batches(self, group: int, keys: Sequence[str], rows: int) -> Iterator[Any]:
        """A group's rows in order, about so many at a time."""

    def cut(self, begin: int, end: int, size: int) -> Iterator[Rows]:
        """Rows, of the groups that begin there."""
        before = 0
        with _telling(self):
            groups = list(self.groups())
            ends = [*(offset for _, _, offset in groups[1:]), self.size]
            for group, ((rows, memory, offset), stop) in enumerate(zip(groups, ends, strict=True)):
                step = max(1, rows * size // max(memory, size, 1))
                if begin <= offset < end:
                    for first in range(0, rows, step):
                        last = min(first + step, rows)
                        disk_bytes = (stop - offset) * (last - first) // rows
                        yield Rows(self.path, disk_bytes, self, group, first, last, before)
                before += rows


def _place(path: str) -> Any:
    """What pyarrow opens: the path, or the file that is behind an address."""
    return open_file(path) if is_remote(path) else path


class Parquet(_Table):
    """A Parquet file."""

    kind = "Parquet"

    def groups(self) -> Iterator[tuple[int, int, int]]:
        """Its row groups."""
        from pyarrow import parquet

        about = parquet.read_metadata(_place(self.path))
        offset = 0
        for number in range(about.num_row_groups):
            group = about.row_group(number)
            yield group.num_rows, group.total_byte_size, min(offset, self.size - 1)
            offset += sum(group.column(column).total_compressed_size for column in range(group.num_columns))

    def batches(self, group: int, keys: Sequence[str], rows: int) -> Iterator[Any]:
        """A row group, decoded as far as it is asked for."""
        from pyarrow import parquet

        with parquet.ParquetFile(_place(self.path), pre_buffer=False, buffer_size=1 << 20) as file:
            columns = [_column_of(file.schema_arrow, key, self.path) for key in keys]
            yield from file.iter_batches(rows, row_groups=[group], columns=columns, use_threads=False)


class Arrow(_Table):
    """An Arrow file, of either form: with a table of its batches, or a stream of them."""

    kind = "Arrow"

    def groups(self) -> Iterator[tuple[int, int, int]]:
        """Its record batches."""
        with self._opened() as reader:
            every = map(reader.get_batch, range(reader.num_record_batches)) if self._is_file() else reader
            sizes = [(batch.num_rows, batch.nbytes) for batch in every]
        for number, (rows, memory) in enumerate(sizes):
            yield rows, memory, self.size * number // len(sizes)

    def batches(self, group: int, keys: Sequence[str], rows: int) -> Iterator[Any]:
        """A record batch: it is where it lies on disk."""
        with self._opened() as reader:
            for key in keys:
                _column_of(reader.schema, key, self.path)
            for batch in [reader.get_batch(group)] if self._is_file() else islice(reader, group, group + 1):
                for first in range(0, batch.num_rows, rows):
                    yield batch.slice(first, rows)

    def _is_file(self) -> bool:
        with open(self.path, "rb") as file:
            return file.read(6) == b"ARROW1"

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        import pyarrow

        with pyarrow.memory_map(self.path) as content:
            if self._is_file():
                yield pyarrow.ipc.open_file(content)
                return
            content.seek(max(0, self.size - len(_STREAM_END)))
            if content.read() != _STREAM_END:
                raise pyarrow.ArrowInvalid("the stream has no end")
            content.seek(0)
            yield pyarrow.ipc.open_stream(content)


def _column_of(schema: Any, key: str, path: str) -> str:
    """The column in which the documents of a key are: the one of that name, or the record that the key begins with."""
    if key in schema.names:
        return key
    outer = key.partition(".")[0]
    if outer != key and outer in schema.names:
        return outer
    raise _lacking(key, schema.names, path)


def _lacking(key: str, names: Sequence[str], path: str) -> CorpusError:
    return CorpusError(
        f"the table lacks the column {key!r} (its columns: {', '.join(map(repr, names)) or 'none'})",
        where=path,
        fix="name another one, --json-keys COLUMN",
    )


@dataclass(frozen=True)
class Rows(Chunk):
    """Some rows of one group of a table; ``before`` rows are in the groups before it."""

    table: _Table
    group: int
    first: int
    stop: int
    before: int

    def read(self, keys: Sequence[str]) -> Parsed:
        """The columns of the keys, or what the keys reach in them."""
        documents: list[list[bytes]] = [[] for _ in keys]
        bad: list[Bad] = []
        row = self.first
        with _telling(self.table, self.before + row):
            for batch in _Cursor.take(self, keys):
                columns = [_values(batch, key, self.path) for key in keys]
                for values in zip(*columns, strict=True):
                    row += 1
                    if reason := _why_bad(values, keys):
                        place = f"{self.path}, row {self.before + row:,}"
                        bad.append(Bad(row - self.first - 1, len(documents[0]), reason, place=place))
                        continue
                    for found, value in zip(documents, values, strict=True):
                        found.append(value)
        return Parsed(self.stop - self.first, documents, bad)


def _why_bad(values: Sequence[bytes | None], keys: Sequence[str]) -> str | None:
    for key, value in zip(keys, values, strict=True):
        if value is None:
            return f"the value of {key!r} is null, not a string"
        if len(value) > MAX_DOCUMENT_BYTES:
            return too_long(len(value))
    return None


class _Cursor:
    """Where this process is in a group: rows that follow are read without those before them."""

    last: _Cursor | None = None

    def __init__(self, of: tuple[Any, ...], batches: Iterator[Any]) -> None:
        self._of = of
        self._row = 0
        self._batches = batches

    @classmethod
    def take(cls, rows: Rows, keys: Sequence[str]) -> Iterator[Any]:
        """The batches of some rows."""
        cursor, of = cls.last, (rows.table, rows.group, tuple(keys))
        if cursor is None or cursor._of != of or cursor._row > rows.first:
            cursor = cls(of, rows.table.batches(rows.group, keys, rows.stop - rows.first))
        # What ends in an error, or inside a batch, is not gone on with.
        cls.last = None
        while cursor._row < rows.stop:
            batch = next(cursor._batches, None)
            if batch is None or not batch.num_rows:
                raise ValueError("a group has fewer rows than it should")
            begin, cursor._row = cursor._row, cursor._row + batch.num_rows
            if cursor._row > rows.first:
                yield batch.slice(max(rows.first - begin, 0), min(rows.stop, cursor._row) - max(rows.first, begin))
        cls.last = cursor if cursor._row == rows.stop else None


def _values(batch: Any, key: str, path: str) -> list[bytes | None]:
    """The bytes under a key in each row."""
    import pyarrow

    array = _find(batch.to_struct_array(), key, path)
    # pyarrow believes what a file says of where its strings are.
    array.validate(full=pyarrow.types.is_dictionary(array.type))
    if pyarrow.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    kind = array.type
    if pyarrow.types.is_fixed_size_binary(kind) or pyarrow.types.is_null(kind):
        return array.to_pylist()  # type: ignore[no-any-return]
    texts = (pyarrow.string(), pyarrow.large_string(), pyarrow.string_view())
    if kind not in (*texts, pyarrow.binary(), pyarrow.large_binary(), pyarrow.binary_view()):
        raise CorpusError(
            f"the column {key!r} holds {kind}, not text", where=path, fix="name another one, --json-keys COLUMN"
        )
    found = array.cast(pyarrow.large_binary())
    found.validate(full=True)
    return found.to_pylist()  # type: ignore[no-any-return]


def _find(columns: Any, key: str, path: str) -> Any:
    """The column of a name, else what the key reaches within a record."""
    import pyarrow
    from pyarrow import compute

    names = [columns.type.field(number).name for number in range(columns.type.num_fields)]
    if key in names:
        return compute.struct_field(columns, names.index(key))
    outer, _, inner = key.partition(".")
    if inner and outer in names:
        within = compute.struct_field(columns, names.index(outer))
        if pyarrow.types.is_struct(within.type):
            return _find(within, inner, path)
    raise _lacking(key, names, path)


@contextmanager
def _telling(table: _Table, row: int | None = None) -> Iterator[None]:
    """What pyarrow says of damaged files, as an error with its place."""
    import pyarrow

    try:
        yield
    except ProxyError:
        raise
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        place = table.path if row is None else f"{table.path}, row {row + 1:,}"
        raise CorpusError(
            f"the {table.kind} file is truncated or damaged ({str(error).partition(chr(10))[0]})",
            where=place,
            fix="fetch the file again; no part of it was taken",
        ) from error
