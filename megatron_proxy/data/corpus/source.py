"""The contract of a source of documents, and what is read of it.

A **source** is one file, folder or stream, of one kind. It gives its documents in a fixed order, cut into **chunks**,
which can be shipped to other processes: where the documents lie, or what they were made of. Which process reads which
chunk changes nothing in the outcome, and the same documents give the same views whatever they came in.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final

from ...errors import CorpusError
from .jsonl import Lack


@dataclass(frozen=True)
class Taking:
    """How sources are read that do not say it themselves.

    Parameters
    ----------
    files
        A glob: the files of a folder, and the members of an archive, that are documents as they are. None: no folder
        is read, and archives hold records (``.json``) and texts (``.txt``).
    text_documents
        ``"file"``: a text that is no other kind of file is one document; ``"blank-line"``: blank lines part its
        documents. None: it is lines of JSON.
    """

    files: str | None = None
    text_documents: str | None = None


AS_THEY_ARE: Final = Taking()


@dataclass(frozen=True)
class Bad:
    """What holds no document: its number within the chunk (from 0), how many documents precede it there, and why.

    ``lack`` is the key that it lacks, if that is the reason, and ``place`` says where it is, if that is known: lines of
    a plain file have to be counted (:class:`.chunk.LineNumbers`).
    """

    line: int
    documents_before: int
    reason: str
    lack: Lack | None = field(default=None, compare=False)
    place: str | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Parsed:
    """What a chunk holds.

    Parameters
    ----------
    lines
        How many lines, rows or members there are, blank and bad ones included.
    documents
        For each key the documents, in order; all keys have the same number.
    bad
        The bad ones, in order.
    left_out
        How many files were left out, by what they are.
    """

    lines: int
    documents: list[list[bytes]]
    bad: list[Bad]
    left_out: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Chunk(ABC):
    """Some of a source's documents: the source's path, and how many of its bytes on disk this chunk stands for."""

    path: str
    disk_bytes: int

    @abstractmethod
    def read(self, keys: Sequence[str]) -> Parsed:
        """The documents under each key.

        Raises
        ------
        OSError
            If the source cannot be read.
        CorpusError
            If it is damaged, or has no such documents at all.
        """


@dataclass(frozen=True)
class Source(ABC):
    """One file, folder or stream of documents: what it is called, and its bytes on disk, 0 if that is unknown."""

    path: str
    size: int
    kind: ClassVar[str]
    """What it is, for the manifest."""

    @abstractmethod
    def cut(self, begin: int, end: int, size: int) -> Iterator[Chunk]:
        """The chunks, in order, of what begins at the bytes ``begin … end - 1`` on disk; about ``size`` bytes each.

        Raises
        ------
        OSError
            If it cannot be read.
        CorpusError
            While iterating: if it is truncated or damaged.
        """


def unreadable(path: str, error: OSError) -> CorpusError:
    """The error for a file that cannot be read."""
    return CorpusError(f"cannot be read ({error.strerror})", where=path)


def changed(path: str) -> CorpusError:
    """The error for a file that is no longer what it was."""
    return CorpusError("the file changed while it was read", where=path, fix="run the command again")


def check_one_key(path: str, keys: Sequence[str]) -> None:
    """Refuse several keys, by a CorpusError, for what has one text only."""
    if len(keys) > 1:
        raise CorpusError(f"has one text for each document, not {', '.join(keys)}", where=path, fix="name one key")
