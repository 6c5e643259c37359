"""A prepared dataset: its manifest, and its views and compressors, each checked when it is opened."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ... import compressors
from ...common.usage import closest
from ...errors import DatasetError
from . import manifest
from .layout import Layout
from .manifest import CompressedView, Manifest, View, read_checked
from .reader import PREPARE_AGAIN, UnmappedView, ViewReader, check_size


@dataclass(frozen=True)
class PreparedDataset:
    """The files of a prefix, and what its manifest says of them."""

    layout: Layout
    manifest: Manifest

    @classmethod
    def open(cls, prefix: str | os.PathLike[str]) -> Self:
        """Read the manifest of a prefix (:func:`.manifest.read`); what else there is, is opened when asked for."""
        return cls(Layout(prefix), manifest.read(prefix))

    def compressed(self, name: str) -> CompressedView:
        """What the manifest says of the compressed view ``name``, or a DatasetError that says how to make it."""
        views, prefix = self.manifest.compressed, self.layout.prefix
        if name not in views:
            meant = closest(name, views)
            make = manifest.prepare_command(prefix, name)
            raise DatasetError(
                f"{prefix!r} has no {name} view; it has: {', '.join(views) or 'none'}",
                where=str(self.layout.manifest),
                fix=make if meant is None else f"did you mean {meant!r}? If not: {make}",
            )
        return views[name]

    def raw(self) -> ViewReader:
        """The raw view; see :meth:`open_view`."""
        return self.open_view(ViewReader, self.layout.raw, self.manifest.raw)

    def codes(self, name: str) -> ViewReader:
        """The compressed view ``name``; see :meth:`open_view`."""
        return self.open_view(ViewReader, self.layout.codes(name), self.compressed(name).view)

    def spans(self, name: str) -> ViewReader | None:
        """The spans of the compressed view ``name``, if it has any; see :meth:`open_view`."""
        stored = self.compressed(name).spans
        return None if stored is None else self.open_view(ViewReader, self.layout.spans(name), stored)

    def open_view[Kind: (ViewReader, UnmappedView)](self, kind: type[Kind], path: str, view: View) -> Kind:
        """Open a view and check that it is the one that the manifest describes, in constant time; else a DatasetError.

        Checked are both files' sizes, the dtype, and the counts of documents and units; :mod:`.verify` checks the
        content.
        """
        for ending, stored in (("idx", view.idx), ("bin", view.bin)):
            check_size(Path(f"{path}.{ending}"), stored.size)
        reader, documents = kind(path), self.manifest.documents
        found = (reader.dtype.name, len(reader), len(reader.document_indices) - 1, reader.units)
        expected = (view.dtype, documents, documents, view.units)
        if found != expected:
            raise DatasetError(
                f"this is not the view that the manifest describes: (dtype, sequences, documents, units) are {found}, "
                f"the manifest says {expected}",
                where=f"{reader.path}.idx",
                fix=PREPARE_AGAIN,
            )
        return reader

    def check(self, name: str) -> None:
        """Check, in constant time, that the raw view and the view ``name`` are what the manifest says.

        Files that are missing, truncated, swapped or foreign are a DatasetError.
        """
        entry = self.compressed(name)
        self.raw()
        self.codes(name)
        self.spans(name)
        for stored in entry.files.values():
            check_size(self.layout.folder / stored.name, stored.size)

    def compressor(self, name: str) -> compressors.Compressor:
        """The compressor that made the view ``name``, its files checked by their SHA-256.

        Raises
        ------
        DatasetError
            If a file is missing or damaged, or the compressor built from them has another fingerprint.
        """
        entry = self.compressed(name)
        files = {suffix: read_checked(self.layout.folder, stored) for suffix, stored in entry.files.items()}
        compressor = compressors.load(name, entry.config, files, str(self.layout.manifest))
        if compressor.fingerprint != entry.fingerprint:
            raise DatasetError(
                f"the {name} compressor in this manifest has another fingerprint than the view it made",
                where=str(self.layout.manifest),
                fix=f"prepare the {name} view again",
            )
        return compressor

    def symbol_bytes(self, name: str) -> NDArray[np.int32] | None:
        """Source bytes that each symbol of a view stands for; None where that depends on context.

        Only for a dataset that does not keep them is the compressor built.

        Returns
        -------
        int32, shape (num_symbols,).

        Raises
        ------
        DatasetError
            If a file is missing or damaged.
        """
        entry = self.compressed(name)
        if entry.symbol_bytes is None:
            return self.compressor(name).symbol_bytes()
        if (stored := entry.symbol_bytes.table) is None:
            return None
        content = read_checked(self.layout.folder, stored)
        if len(content) != 4 * entry.num_symbols:
            raise DatasetError(
                f"the table has {len(content):,} bytes, {entry.num_symbols:,} symbols need {4 * entry.num_symbols:,}",
                where=str(self.layout.folder / stored.name),
                fix=manifest.PREPARE_AGAIN,
            )
        return np.frombuffer(content, dtype="<i4")
