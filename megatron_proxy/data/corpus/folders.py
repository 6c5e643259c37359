"""Folders of files: each file that a glob takes is a document, as it is.

Files are in the order of their paths. Hidden ones (and all in hidden folders), those that are binary, which is to say
have a NUL among their first bytes, and links within the folder are left out, and counted. A link that leaves the folder
is an error.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Final

from ...errors import CorpusError
from .jsonl import MAX_DOCUMENT_BYTES, too_long
from .source import Bad, Chunk, Parsed, Source, changed, check_one_key, unreadable

HIDDEN: Final = "hidden"
BINARY: Final = "binary"
LINKS: Final = "links"
_BINARY_HEAD_BYTES: Final = 8000
_MOST_FILES: Final = 1000
_SMALL_BYTES: Final = 1 << 20


@dataclass(frozen=True)
class FolderFiles(Chunk):
    """Some files of a folder: their paths in it and their sizes, and what was left out before them."""

    names: Sequence[tuple[str, int]]
    left_out: Mapping[str, int] = field(default_factory=dict)
    texts: bool = False
    """Whether binary files are taken, too."""

    def read(self, keys: Sequence[str]) -> Parsed:
        """Each file is a document."""
        check_one_key(self.path, keys)
        documents: list[bytes] = []
        bad: list[Bad] = []
        left_out = Counter(self.left_out)
        folder = os.path.join(self.path, "")
        for number, (name, size) in enumerate(self.names):
            path = folder + name
            if size > MAX_DOCUMENT_BYTES:
                bad.append(Bad(number, len(documents), too_long(size), place=path))
                continue
            content = _content(path, size)
            if not self.texts and is_binary(content):
                left_out[BINARY] += 1
            else:
                documents.append(content)
        return Parsed(len(self.names), [documents], bad, left_out)


def _content(path: str, size: int) -> bytes:
    try:
        if size > _SMALL_BYTES:
            with open(path, "rb") as file:
                content = file.read()
        else:
            content = _small_content(path, size)
    except OSError as error:
        raise unreadable(path, error) from error
    if len(content) != size:
        raise changed(path)
    return content


def _small_content(path: str, size: int) -> bytes:
    """A file in one call, without what Python's own files do besides."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return os.read(descriptor, size + 1)
    finally:
        os.close(descriptor)


def is_binary(content: bytes) -> bool:
    """Whether content is no text, as git tells: by a NUL among the first bytes."""
    return b"\0" in content[:_BINARY_HEAD_BYTES]


def is_hidden(name: str) -> bool:
    """Whether a path has a part that begins with a dot."""
    # Few names have a dot behind a slash.
    if "/." not in name and not name.startswith("."):
        return False
    return any(part.startswith(".") and part not in (".", "..") for part in name.split("/"))


def matches(name: str, pattern: str) -> bool:
    """Whether a glob takes a path: by its last part, or where the glob has a slash, by the whole of it."""
    return fnmatchcase(name if "/" in pattern else name.rstrip("/").rpartition("/")[2], pattern)


@dataclass(frozen=True)
class Folder(Source):
    """A folder's files: the paths that a glob takes, in order, with their sizes, and how many are hidden or links."""

    kind = "folder"
    names: Sequence[tuple[str, int]]
    left_out: Mapping[str, int]

    def cut(self, begin: int, end: int, size: int) -> Iterator[FolderFiles]:
        """Some files at a time."""
        taken: list[tuple[str, int]] = []
        left_out: Mapping[str, int] = self.left_out if begin <= 0 < end else {}
        offset = held = 0
        for name, length in self.names:
            if begin <= offset < end:
                taken.append((name, length))
                held += length
            offset += length
            if held >= size or len(taken) >= _MOST_FILES:
                yield FolderFiles(self.path, held, tuple(taken), left_out)
                taken, left_out, held = [], {}, 0
        if taken or left_out:
            yield FolderFiles(self.path, held, tuple(taken), left_out)


def folder(path: str, pattern: str) -> Folder:
    """The files of a folder that a glob takes.

    Raises
    ------
    OSError
        If the folder, or one in it, cannot be read.
    CorpusError
        A link that leaves the folder, or what is no file at all.
    """
    root = os.path.realpath(path)
    names: list[tuple[str, int]] = []
    left_out: Counter[str] = Counter()
    for name, status in _walk(path, ""):
        if is_hidden(name):
            left_out[HIDDEN] += 1
        elif stat.S_ISLNK(status.st_mode):
            _check_link(os.path.join(path, name), root)
            left_out[LINKS] += 1
        elif not matches(name, pattern):
            continue
        elif stat.S_ISREG(status.st_mode):
            names.append((name, status.st_size))
        else:
            raise CorpusError("neither a file nor a folder", where=os.path.join(path, name))
    names.sort(key=lambda one: os.fsencode(one[0]))
    return Folder(path, sum(size for _, size in names), names, left_out)


def _walk(root: str, inside: str) -> Iterator[tuple[str, os.stat_result]]:
    """The paths of all that is no folder, and what the system says of them; a link to one is not gone into."""
    with os.scandir(os.path.join(root, inside)) as entries:
        found = list(entries)
    for entry in found:
        name = f"{inside}/{entry.name}" if inside else entry.name
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(root, name)
        else:
            yield name, entry.stat(follow_symlinks=False)


def _check_link(path: str, root: str) -> None:
    target = os.path.realpath(path)
    if os.path.commonpath([target, root]) != root:
        raise CorpusError(
            f"the link leaves the folder, to {target!r}", where=path, fix="remove it, or name that folder as well"
        )
