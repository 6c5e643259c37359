"""Views put together from parts: the partitions of a long run, and the shards of many machines."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from contextlib import closing
from typing import Final

import numpy as np

from ...common.storage.hashing import Aside
from ...compressors import Compressor
from ...errors import DatasetError
from ..dataset.layout import Layout
from ..dataset.manifest import CompressedView, Manifest, View, sha256_of
from ..dataset.opened import PreparedDataset
from ..dataset.reader import ViewReader
from .staging import PendingView

# A whole number of units, whatever the dtype.
_BLOCK_BYTES: Final = 4 << 20
_BLOCK_LENGTHS: Final = 1 << 16


def finished_part(layout: Layout, compressor: Compressor, whole: Manifest, documents: int) -> CompressedView | None:
    """A partition that was finished, with this compressor and of this dataset's raw view; None otherwise."""
    try:
        part = PreparedDataset.open(layout.prefix)
        content, entry = part.manifest, part.compressed(compressor.name)
        if (content.raw, content.documents, entry.fingerprint) != (whole.raw, documents, compressor.fingerprint):
            return None
        part.codes(compressor.name)
        part.spans(compressor.name)
    except DatasetError:
        return None
    return entry


def remove_parts(layout: Layout, name: str) -> None:
    """Remove all partitions of a compressed view."""
    for path in layout.files_of_parts(name):
        path.unlink(missing_ok=True)


def concatenate(paths: Iterable[str], stored: Iterable[View], pending: PendingView) -> None:
    """Append views to a pending one, in order and in constant memory; ``stored`` says what their manifests say.

    Raises
    ------
    DatasetError
        A view that cannot be read, or whose content is not what its manifest says.
    """
    block = memoryview(bytearray(_BLOCK_BYTES))
    with closing(Aside()) as aside:
        for path, expected in zip(paths, stored, strict=True):
            view = ViewReader(path)
            digest = _append_units(f"{path}.bin", pending, block, aside)
            if digest != expected.bin.sha256 or sha256_of(f"{path}.idx") != expected.idx.sha256:
                raise DatasetError(
                    "the content is not what its manifest says (SHA-256)", where=path, fix="make it again"
                )
            for begin in range(0, len(view), _BLOCK_LENGTHS):
                pending.add(b"", view.sequence_lengths[begin : begin + _BLOCK_LENGTHS])


def _append_units(path: str, pending: PendingView, block: memoryview, aside: Aside) -> str:
    """Append the units of one file; returns the file's SHA-256.

    The checksum of what was read is taken while this thread writes.
    """
    none = np.empty(0, dtype=np.int32)
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while size := file.readinto(block):
            with aside.doing(digest.update, block[:size], size):
                pending.add(block[:size], none)
    return digest.hexdigest()
