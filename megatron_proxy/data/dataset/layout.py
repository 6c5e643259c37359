"""Where the files of a dataset are: every name beside a prefix is made here.

For a prefix ``data/stdlib`` and the compressor ``zstd`` the files are ``data/stdlib_raw_document.{bin,idx}``,
``data/stdlib_zstd_document.{bin,idx}``, ``data/stdlib_zstd_spans.{bin,idx}`` (only of compressors with spans), and
``data/stdlib_zstd_<suffix>`` for each file of the compressor; where symbols stand for bytes of their own,
``data/stdlib_zstd_symbol-bytes.int32`` says how many. ``data/stdlib_manifest.json`` binds them.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Self

MANIFEST: Final = "_manifest.json"


class Layout:
    """The places of the files of one dataset with a prefix such as ``data/stdlib``; of a view, without the endings."""

    def __init__(self, prefix: str | os.PathLike[str]) -> None:
        self.prefix = os.fspath(prefix)
        path = Path(self.prefix)
        self.folder, self._name = path.parent, path.name
        self.manifest = Path(f"{self.prefix}{MANIFEST}")
        self.raw = f"{self.prefix}_raw_document"
        self.skipped_lines = Path(f"{self.prefix}_skipped_lines.txt")
        """The list of the bad lines that were passed over."""
        self.lock = self.folder / f".{self._name}.lock"
        self.plans = path / "cache" / "ProxyGPTDataset"
        """The folder of cached plans, if no other is given."""

    def codes(self, name: str) -> str:
        """The compressed view of the compressor ``name``."""
        return f"{self.prefix}_{name}_document"

    def spans(self, name: str) -> str:
        """The spans of that view."""
        return f"{self.prefix}_{name}_spans"

    def compressor_file(self, name: str, suffix: str) -> Path:
        """A file of the compressor ``name``."""
        return Path(f"{self.prefix}_{name}_{suffix}")

    def symbol_bytes(self, name: str) -> Path:
        """The table of how many bytes each symbol of ``name`` stands for."""
        return self.compressor_file(name, "symbol-bytes.int32")

    def own(self, names: Iterable[str]) -> list[Path]:
        """Where those of some files are that bear the prefix's name: the ones that may be removed with it.

        A manifest by somebody else may name any file of its folder; that must not cost another dataset its files.
        """
        return [self.folder / name for name in names if name.startswith(f"{self._name}_")]

    def part(self, name: str, number: int, count: int) -> Self:
        """The hidden dataset of one partition of the compressed view ``name``."""
        return type(self)(self.folder / f".{self._name}.{name}.part-{number:04d}-of-{count:04d}")

    def files_of_parts(self, name: str) -> list[Path]:
        """All files that are there of partitions of the view ``name``, finished and half-made ones."""
        patterns = [f"{hidden}{glob.escape(self._name)}.{name}.part-*" for hidden in (".", "..")]
        return [self.folder / found for pattern in patterns for found in glob.glob(pattern, root_dir=self.folder)]

    def shard(self, index: int, count: int) -> Self:
        """The dataset of one shard: ``PREFIX_shard-00003-of-00008``."""
        return type(self)(f"{self.prefix}_shard-{index:05d}-of-{count:05d}")

    def shards(self) -> list[tuple[int, int]]:
        """The (index, count) of every shard of this prefix that has a manifest, by name."""
        pattern = re.compile(rf"{re.escape(self._name)}_shard-(\d+)-of-(\d+){re.escape(MANIFEST)}")
        matches = (pattern.fullmatch(path.name) for path in sorted(self.folder.iterdir()))
        return [(int(match[1]), int(match[2])) for match in matches if match]


def pending(path: str | os.PathLike[str]) -> Path:
    """Where a file or view waits until it is whole: hidden, so that nothing takes it for the real one."""
    path = Path(path)
    return path.with_name(f".{path.name}.partial")
