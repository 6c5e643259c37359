"""Plain text, where it is asked for: a whole file is a document, or blank lines part its documents.

With blank lines, a document is a run of lines that hold something; the newline behind the last of them is no part of
it. A byte-order mark at the start is passed over.
"""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ...common.storage.remote import is_remote
from .chunk import Unpacked
from .decompress import STANDARD_INPUT, blocks
from .folders import FolderFiles
from .jsonl import MAX_DOCUMENT_BYTES, too_long
from .source import Bad, Chunk, Parsed, Source, check_one_key

FILE: Final = "file"


@dataclass(frozen=True)
class Text(Unpacked):
    """Text: one document, or those between its blank lines."""

    parted: bool

    def read(self, keys: Sequence[str]) -> Parsed:
        """The documents, whatever the key is called."""
        check_one_key(self.path, keys)
        content = self.content.removeprefix(codecs.BOM_UTF8) if self.before == 0 else self.content
        documents: list[bytes] = []
        bad: list[Bad] = []
        for line, document in _parts(content) if self.parted else [(0, content)]:
            if len(document) > MAX_DOCUMENT_BYTES:
                bad.append(Bad(line, len(documents), too_long(len(document)), place=self.place(line)))
            else:
                documents.append(document)
        return Parsed(content.count(b"\n"), [documents], bad)


def _parts(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Each document between blank lines, with the line that it begins at, from 0."""
    found: list[bytes] = []
    number = 0
    for number, line in enumerate(content.split(b"\n")):
        if line.strip():
            found.append(line)
        elif found:
            yield number - len(found), _joined(found)
            found = []
    if found:
        yield number + 1 - len(found), _joined(found)


def _joined(lines: Sequence[bytes]) -> bytes:
    return b"\n".join(lines).removesuffix(b"\r")


@dataclass(frozen=True)
class TextFile(Source):
    """A file of plain text, or standard input; ``documents`` is ``"file"`` or ``"blank-line"``."""

    kind = "text"
    compression: str | None
    documents: str

    def cut(self, begin: int, end: int, size: int) -> Iterator[Chunk]:
        """The whole file, or blocks that end at a blank line, if it begins there."""
        if not begin <= 0 < end:
            return
        if (
            self.documents == FILE
            and self.compression is None
            and self.path != STANDARD_INPUT
            and not is_remote(self.path)
        ):
            folder, name = os.path.split(self.path)
            yield FolderFiles(folder, self.size, ((name, self.size),), texts=True)
        elif self.documents == FILE:
            whole = list(blocks(self.path, self.compression, size, lambda _: 0))
            content, disk_bytes = whole[0][:2] if whole else (b"", 0)
            yield Text(self.path, disk_bytes, content, 0, parted=False)
        else:
            for content, disk_bytes, before in blocks(self.path, self.compression, size, last_gap):
                yield Text(self.path, disk_bytes, content, before, parted=True)


def last_gap(content: bytes) -> int:
    """Where the last blank line ends that has a line before it; 0 if there is none."""
    end = content.rfind(b"\n")
    while end > 0:
        begin = content.rfind(b"\n", 0, end)
        if begin < 0:
            return 0
        if not content[begin + 1 : end].strip():
            return end + 1
        end = begin
    return 0
