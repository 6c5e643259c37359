"""Tar archives, packed or not: members in their order, as records, as texts, or as they are.

With a glob, each member that it takes is a document as it is, as in a folder. Without one it is as WebDataset has it:
``NAME.json`` is a record, whose documents are found by their keys, ``NAME.jsonl`` lines of such records, and
``NAME.txt`` a document; other members are left out, and counted.
"""

from __future__ import annotations

import io
import tarfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from ...errors import CorpusError, ProxyError
from .chunk import parse_lines
from .decompress import DamagedStream, damaged, pieces
from .folders import BINARY, HIDDEN, is_binary, is_hidden, matches
from .jsonl import MAX_DOCUMENT_BYTES, BadLine, parse_line, too_long
from .source import Bad, Chunk, Parsed, Source, check_one_key

OTHER: Final = "of another kind"
_MOST_MEMBERS: Final = 1000
_READ_BYTES: Final = 64 << 10


class Member(NamedTuple):
    """A member: its name, its content, and its size, which is larger than that of the content if it is too large."""

    name: str
    content: bytes
    size: int


@dataclass(frozen=True)
class Members(Chunk):
    """Some members of an archive, and how many were left out before or among them."""

    members: Sequence[Member]
    left_out: Mapping[str, int]
    records: bool

    def read(self, keys: Sequence[str]) -> Parsed:
        """The documents of records, and of texts."""
        documents: list[list[bytes]] = [[] for _ in keys]
        bad: list[Bad] = []
        left_out = Counter(self.left_out)
        for number, member in enumerate(self.members):
            if not self.records and is_binary(member.content):
                left_out[BINARY] += 1
                continue
            if self.records and member.name.endswith(".jsonl") and member.size <= MAX_DOCUMENT_BYTES:
                self._read_lines(number, member, keys, documents, bad)
                continue
            try:
                for found, document in zip(documents, self._documents(member, keys), strict=True):
                    found.append(document)
            except BadLine as error:
                reason = str(error).replace("the line", "the member", 1)
                place = f"{self.path}, member {member.name}"
                bad.append(Bad(number, len(documents[0]), reason, error.lack, place))
        return Parsed(len(self.members), documents, bad, left_out)

    def _read_lines(
        self, number: int, member: Member, keys: Sequence[str], documents: list[list[bytes]], bad: list[Bad]
    ) -> None:
        """Add what the lines of a member hold."""
        place = f"{self.path}, member {member.name}"
        found = parse_lines(io.BytesIO(member.content), keys, at_start=True, place=lambda line: f"{place}:{line + 1}")
        before = len(documents[0])
        bad += [replace(one, line=number, documents_before=before + one.documents_before) for one in found.bad]
        for all_, these in zip(documents, found.documents, strict=True):
            all_ += these

    def _documents(self, member: Member, keys: Sequence[str]) -> Sequence[bytes]:
        if member.size > MAX_DOCUMENT_BYTES:
            raise BadLine(too_long(member.size))
        if self.records and member.name.endswith(".json"):
            if not member.content.strip():
                raise BadLine("the member is empty, not a JSON object")
            return parse_line(member.content, keys)
        check_one_key(f"{self.path}, member {member.name}", keys)
        return [member.content]


@dataclass(frozen=True)
class Archive(Source):
    """A tar archive; ``pattern`` is the glob of the members that are documents as they are, None for records."""

    kind = "tar"
    compression: str | None
    pattern: str | None

    def cut(self, begin: int, end: int, size: int) -> Iterator[Members]:
        """Some members at a time, if the archive begins there."""
        if not begin <= 0 < end:
            return
        stream = _Stream(self.path, self.compression)
        last = "the first member"
        try:
            with tarfile.open(fileobj=stream, mode="r|", bufsize=_READ_BYTES) as archive:
                for members, left_out in self._groups(archive, size):
                    last = f"member {members[-1].name}" if members else last
                    yield Members(self.path, stream.moved(), members, left_out, self.pattern is None)
                offset = archive.offset
            stream.check_end(offset)
        except ProxyError:
            raise
        except (tarfile.TarError, EOFError, ValueError, OverflowError) as error:
            raise CorpusError(
                f"the tar archive is truncated or damaged ({error})",
                where=f"{self.path}, behind {last}",
                fix="fetch the file again; no part of it was taken",
            ) from error
        except DamagedStream as error:
            raise damaged(f"{self.path}, behind {last}", self.compression, error) from error

    def _groups(self, archive: tarfile.TarFile, size: int) -> Iterator[tuple[Sequence[Member], Mapping[str, int]]]:
        members: list[Member] = []
        left_out: Counter[str] = Counter()
        held = 0
        for info in archive:
            if not info.isfile() or not self._takes(info.name, left_out):
                continue
            content = b"" if info.size > MAX_DOCUMENT_BYTES else _read(archive, info)
            members.append(Member(info.name, content, info.size))
            held += len(content)
            # The archive would remember all its members.
            archive.members.clear()  # type: ignore[attr-defined]
            if held >= size or len(members) >= _MOST_MEMBERS:
                yield tuple(members), left_out
                members, left_out, held = [], Counter(), 0
        yield tuple(members), left_out

    def _takes(self, name: str, left_out: Counter[str]) -> bool:
        if is_hidden(name):
            left_out[HIDDEN] += 1
            return False
        if self.pattern is not None:
            return matches(name, self.pattern)
        taken = name.endswith((".json", ".jsonl", ".txt"))
        left_out.update([] if taken else [OTHER])
        return taken


def _read(archive: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(info)
    content = file.read() if file else b""
    if len(content) != info.size:
        raise tarfile.ReadError("the file ends inside a member")
    return content


class _Stream(io.RawIOBase):
    """An archive's bytes, which must end as archives do."""

    def __init__(self, path: str, compression: str | None) -> None:
        super().__init__()
        self._pieces = pieces(path, compression)
        self._rest = b""
        self._last = b""
        self._position = 0
        self._disk = self._told = 0

    def read(self, size: int = -1) -> bytes:
        """``size`` bytes, or fewer at the end."""
        while len(self._rest) < size and (piece := next(self._pieces, None)):
            self._rest += piece[0]
            self._disk = piece[1]
        found, self._rest = self._rest[:size], self._rest[size:]
        self._last = found or self._last
        self._position += len(found)
        return found

    def moved(self) -> int:
        """How many bytes on disk were read since this was asked for last."""
        moved, self._told = self._disk - self._told, self._disk
        return moved

    def check_end(self, offset: int) -> None:
        """See to it that nothing but zeros follows from ``offset`` on, which was read last, and that there are some."""
        if offset >= self._position:
            raise tarfile.ReadError("the file ends without the mark of its end")
        found = self._last[offset - self._position :]
        while found:
            if found.strip(b"\0"):
                raise tarfile.ReadError("something follows behind its end")
            found = self.read(_READ_BYTES)
