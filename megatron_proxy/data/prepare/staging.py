"""Files that are not part of the dataset yet: written beside it, made durable, then renamed into place.

A pending file is called ``.NAME.partial``, so that nothing takes it for the real one.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...common.storage.files import replace_file, sync
from ...common.storage.hashing import Aside
from ...compressors import Compressor
from ...errors import DatasetError
from ..dataset.layout import Layout, pending
from ..dataset.manifest import StoredFile, View, sha256_of
from ..dataset.writer import ViewWriter
from .units import SPAN_DTYPE


class PendingView:
    """A view that is being written; ``path`` is where it will be, without ``.bin`` and ``.idx``."""

    def __init__(self, path: str, dtype: np.dtype[Any]) -> None:
        self._path = Path(path)
        self._dtype = dtype
        self._pending = str(pending(self._path))
        self._digest = hashlib.sha256()
        self._aside = Aside()
        self._units = self._below_256 = 0
        with writing(self._path):
            self._writer = ViewWriter(self._pending, dtype)

    def add(self, units: bytes | memoryview, lengths: NDArray[np.int32]) -> None:
        """Append sequences: their units one after the other, and the number of units of each (int32)."""
        numbers = np.frombuffer(units, dtype=self._dtype)
        with self._aside.doing(self._digest.update, units, numbers.nbytes):
            with writing(self._path):
                self._writer.add(units, lengths)
            self._units += len(numbers)
            self._below_256 += len(numbers) if self._dtype == np.uint8 else int(np.count_nonzero(numbers < 256))

    def finish(self) -> View:
        """Make both files whole and durable; returns what the manifest says of them."""
        self._aside.close()
        with writing(self._path):
            self._writer.finish()
            bin_ = _stored(f"{self._pending}.bin", f"{self._path.name}.bin", self._digest.hexdigest())
            idx = _stored(f"{self._pending}.idx", f"{self._path.name}.idx", sha256_of(f"{self._pending}.idx"))
        return View(bin_, idx, self._dtype.name, self._units, self._below_256)

    def publish(self) -> None:
        """Rename both files into place."""
        with writing(self._path):
            for ending in ("bin", "idx"):
                os.replace(f"{self._pending}.{ending}", f"{self._path}.{ending}")
            sync(self._path.parent)

    def close(self) -> None:
        """End, and remove both files if they are not published."""
        self._aside.close()
        self._writer.close()
        self.remove(self._path)

    @staticmethod
    def remove(path: str | os.PathLike[str]) -> None:
        """Remove what a run that was cut off left of a pending view."""
        for ending in ("bin", "idx"):
            # What cannot be removed (a folder of this name, a name too long) is told when it has to be written.
            with suppress(OSError):
                os.unlink(f"{pending(path)}.{ending}")


def view_files(layout: Layout, compressor: Compressor) -> list[tuple[str, np.dtype[Any]]]:
    """The views of a compressor as (path without ending, dtype): its codes, and its spans if it has any."""
    codes = (layout.codes(compressor.name), compressor.vocabulary.code_dtype)
    return [codes, (layout.spans(compressor.name), SPAN_DTYPE)] if compressor.spans else [codes]


@contextmanager
def pending_views(layout: Layout, compressor: Compressor) -> Iterator[list[PendingView]]:
    """The views of a compressor, to be filled and published; those that are not are discarded."""
    with ExitStack() as stack:
        yield [stack.enter_context(closing(PendingView(*file))) for file in view_files(layout, compressor)]


def publish_file(path: Path, content: bytes) -> None:
    """Write a small file whole or not at all, as the one writer that holds the lock of the prefix."""
    with writing(path):
        replace_file(path, content, beside=pending(path))
        sync(path.parent)


@contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn a failure to write (a full disk, a quota, a read-only folder) into a DatasetError that names ``path``."""
    try:
        yield
    except OSError as error:
        raise DatasetError(
            f"cannot be written ({error.strerror or error})",
            where=os.fspath(path),
            fix="make room or choose another --output-prefix, and run the command again: nothing half-made is left",
        ) from error


def _stored(path: str, name: str, sha256: str) -> StoredFile:
    sync(path)
    return StoredFile(name, os.stat(path).st_size, sha256)
