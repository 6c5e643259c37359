"""One prefix while it is being prepared: what is there already, and how something new takes its place.

The manifest is the dataset: a view counts only if the manifest names it. So a new view is renamed into place *before*
the manifest names it, and a view that is replaced is taken out of the manifest *before* its files change.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import numpy as np

from ... import __version__, compressors
from ...compressors import Compressor
from ...errors import DatasetError
from ..dataset import manifest
from ..dataset.layout import Layout
from ..dataset.manifest import CompressedView, Manifest, StoredFile, SymbolBytes, View
from ..dataset.opened import PreparedDataset
from .lock import Lock
from .staging import PendingView, pending_views, publish_file, view_files, writing

RAW_DTYPE: Final[np.dtype[Any]] = np.dtype(np.uint8)
_PACKAGES: Final = ("megatron-core", "numpy", "orjson", "sentencepiece", "zstandard")


class Dataset:
    """A locked prefix, whose files may be replaced by different ones if ``overwrite``.

    A manifest that cannot be used is then none, and else a DatasetError.
    """

    def __init__(self, prefix: str, lock: Lock, *, overwrite: bool) -> None:
        self.prefix = prefix
        self.layout = Layout(prefix)
        self.overwrite = overwrite
        self._lock = lock
        self.manifest = self._read()
        # Half-made views of a run that was cut off.
        views = [place(name) for name in compressors.names() for place in (self.layout.codes, self.layout.spans)]
        for path in (*views, self.layout.raw):
            PendingView.remove(path)

    def _read(self) -> Manifest | None:
        if not self.layout.manifest.exists():
            return None
        try:
            return manifest.read(self.prefix)
        except DatasetError as error:
            if self.overwrite:
                return None
            fix = f"{error.fix}; --overwrite replaces this one" if error.fix else "--overwrite replaces it"
            raise DatasetError(error.what, where=error.where, fix=fix) from None

    @property
    def prepared(self) -> PreparedDataset:
        """What there is; it has a raw view at least."""
        if self.manifest is None:
            raise LookupError(f"{self.prefix} has no raw view yet")
        return PreparedDataset(self.layout, self.manifest)

    def pending_raw(self) -> PendingView:
        """Begin a raw view, for :meth:`publish_raw`; see :meth:`check_free` for what is refused."""
        self.check_free(self.layout.raw)
        return PendingView(self.layout.raw, RAW_DTYPE)

    @contextmanager
    def making(self, compressor: Compressor, given: Mapping[str, Any] | None = None) -> Iterator[list[PendingView]]:
        """Views of a compressor (its codes, and its spans if it has any) to be filled.

        Then they are added, or take the place of those that are there; if filling them fails, nothing is left.
        ``given`` is what the manifest says of codes that the compressor has not made.
        """
        for path, _ in view_files(self.layout, compressor):
            self.check_free(path)
        with pending_views(self.layout, compressor) as pending:
            yield pending
            stored = [one.finish() for one in pending]
            self._lock.publishing = True
            content = self.prepared.manifest
            old = content.compressed.get(compressor.name)
            if old is not None:
                rest = {name: view for name, view in content.compressed.items() if name != compressor.name}
                publish_file(self.layout.manifest, content.with_views(rest).to_json().encode())
                self._remove_view(old)
            for one in pending:
                one.publish()
            files = {
                suffix: self._store(self.layout.compressor_file(compressor.name, suffix), file)
                for suffix, file in compressor.files().items()
            }
            table = compressor.symbol_bytes()
            place = self.layout.symbol_bytes(compressor.name)
            symbol_bytes = SymbolBytes(None if table is None else self._store(place, table.astype("<i4").tobytes()))
            entry = replace(describe(compressor, stored, files), symbol_bytes=symbol_bytes)
            self._write(content.with_compressed(compressor.name, entry).with_given(compressor.name, given))

    def check_free(self, path: str) -> None:
        """Refuse to make a view where files are that the manifest does not know, as they may be somebody's.

        Such files are a DatasetError, unless they may be overwritten.
        """
        for ending in ("bin", "idx"):
            place = Path(f"{path}.{ending}")
            if place.exists() and not self._knows(place.name) and not (self.overwrite or self._lock.cut_off):
                raise DatasetError(
                    "the file is there, but no manifest names it: it is not of this dataset",
                    where=str(place),
                    fix="choose another --output-prefix, or replace it with --overwrite",
                )

    def _knows(self, name: str) -> bool:
        return self.manifest is not None and name in {stored.name for stored in self.manifest.stored_files()}

    def publish_raw(self, pending: PendingView, raw: View, documents: int, source: dict[str, Any]) -> None:
        """Make a raw view, and nothing else, the dataset."""
        self._lock.publishing = True
        with writing(self.layout.manifest):
            self.layout.manifest.unlink(missing_ok=True)
        if self.manifest is not None:
            for name in self.manifest.compressed:
                self._remove_view(self.manifest.compressed[name])
        pending.publish()
        self._write(Manifest(documents, raw, {}, source, versions()))

    def _store(self, path: Path, content: bytes) -> StoredFile:
        publish_file(path, content)
        return StoredFile(path.name, len(content), hashlib.sha256(content).hexdigest())

    def _remove_view(self, view: CompressedView) -> None:
        for path in self.layout.own(stored.name for stored in view.stored_files()):
            with writing(path):
                path.unlink(missing_ok=True)

    def _write(self, new: Manifest) -> None:
        publish_file(self.layout.manifest, new.to_json().encode())
        self.manifest = new
        self._lock.publishing = False


def versions() -> dict[str, str]:
    """What writes a dataset on this machine."""
    found = {"megatron-proxy": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def describe(compressor: Compressor, stored: Sequence[View], files: Mapping[str, StoredFile]) -> CompressedView:
    """The manifest's entry for a compressor and the views it made: codes, and spans if it has any."""
    return CompressedView(
        config=compressor.config(),
        fingerprint=compressor.fingerprint,
        num_symbols=compressor.num_symbols,
        literals=compressor.literals,
        lossless=compressor.lossless,
        view=stored[0],
        spans=stored[1] if len(stored) > 1 else None,
        files=dict(files),
    )
