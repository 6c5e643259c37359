"""What a file is, by its content: the one place that knows other kinds of files than lines of JSON.

A kind that is packed (:data:`PACKED`) is unpacked and looked into again; tables and archives have sources of their own;
every other kind is refused by name before anything is read, since its lines, if it had any, would all be bad ones.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, Final

from ...common.storage.remote import open_file

HEAD_BYTES: Final = 512
"""How much of a file's beginning tells its kind."""

_ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
_SKIPPABLE: Final = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18", re.DOTALL)
_INDEX_MAGIC: Final = b"MMIDIDX\0\0"
_UTF16: Final = re.compile(rb"\xff\xfe|\xfe\xff|\0[{\[]|[{\[]\0")
# Objects, elements in lines of their own, or no line end at all; not a first line that is an array for once.
_ARRAY: Final = re.compile(rb"(?:\xef\xbb\xbf)?\s*\[(?:\s*[\n{]|[^\n]*\n?\Z)")


@dataclass(frozen=True)
class FileKind:
    """A kind of file: its name with its article, and what to do with one, as users are told.

    ``recognises`` tells whether the first :data:`HEAD_BYTES` of a file are of this kind.
    """

    name: str
    recognises: Callable[[bytes], bool]
    fix: str


def _begins(*magics: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(magics)


_UNPACK: Final = "unpack it, or pack it with gzip, zstd, xz or bz2, which are read as they are"
_TABLE: Final = "tables are read from files only: unpack it"
_DATA: Final = "name the JSONL files that it was made from, or take its ids: --input-tokens PREFIX --tokenizer FILE"

GZIP: Final = FileKind("a gzip file", _begins(b"\x1f\x8b"), _UNPACK)
ZSTD: Final = FileKind("a zstd file", _begins(_ZSTD_MAGIC), _UNPACK)
XZ: Final = FileKind("an xz file", _begins(b"\xfd7zXZ\0"), _UNPACK)
BZ2: Final = FileKind("a bz2 file", lambda head: re.match(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)", head) is not None, _UNPACK)
PACKED: Final = (GZIP, ZSTD, XZ, BZ2)

PARQUET: Final = FileKind("a Parquet file", _begins(b"PAR1"), _TABLE)
TABLES: Final = (PARQUET, FileKind("an Arrow file", _begins(b"ARROW1", b"\xff\xff\xff\xff"), _TABLE))
TAR: Final = FileKind("a tar archive", lambda head: head[257:262] == b"ustar", "unpack it, and name the files in it")

_FOREIGN: Final = (
    *TABLES,
    TAR,
    FileKind("a Feather file of version 1", _begins(b"FEA1"), "write it again as Parquet"),
    FileKind("an lz4 file", _begins(b"\x04\x22\x4d\x18"), _UNPACK),
    FileKind("a zip archive", _begins(b"PK\x03\x04", b"PK\x05\x06"), _UNPACK),
    FileKind("a 7z archive", _begins(b"7z\xbc\xaf\x27\x1c"), _UNPACK),
    FileKind("a Megatron index (.idx)", _begins(_INDEX_MAGIC), _DATA),
    FileKind("text in UTF-16 or UTF-32", lambda head: _UTF16.match(head) is not None, "convert it to UTF-8 (iconv)"),
    FileKind(
        "a JSON array",
        lambda head: _ARRAY.match(head) is not None,
        "write its elements one a line (jq --compact-output '.[]' FILE > corpus.jsonl)",
    ),
    FileKind(
        "a pointer of Git LFS, not the file itself", _begins(b"version https://git-lfs"), "fetch it: git lfs pull"
    ),
)
_MEGATRON: Final = FileKind("the data of a Megatron dataset (.bin)", lambda head: False, _DATA)


def kind_of(head: bytes) -> FileKind | None:
    """The kind of a file that begins with ``head``; None for what may be lines of JSON."""
    return next((kind for kind in (*PACKED, *_FOREIGN) if kind.recognises(head)), None)


def kind_of_file(path: str) -> FileKind | None:
    """The kind of the file at ``path``; None for what may be lines of JSON."""
    with open_file(path) as file:
        found = kind_of(_head_behind_skippable_frames(file))
    if found is None and path.endswith(".bin") and _begins_with(f"{path[:-4]}.idx", _INDEX_MAGIC):
        return _MEGATRON
    return found


def _head_behind_skippable_frames(file: BinaryIO) -> bytes:
    """The first bytes that mean anything: zstd and lz4 may be preceded by frames of anybody's data.

    A file of nothing but such frames is zstd.
    """
    head = file.read(HEAD_BYTES)
    skipped = False
    while _SKIPPABLE.match(head) and len(head) >= 8:
        skipped = True
        file.seek(8 + struct.unpack_from("<I", head, 4)[0] - len(head), os.SEEK_CUR)
        head = file.read(HEAD_BYTES)
    return head if head or not skipped else _ZSTD_MAGIC


def _begins_with(path: str, magic: bytes) -> bool:
    try:
        with open_file(path) as file:
            return file.read(len(magic)) == magic
    except OSError:
        return False
