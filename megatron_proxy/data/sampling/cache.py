"""Plans on disk: computed once, then memory-mapped by every process of a run and by every run after it.

A plan is a group of files in Megatron's cache folder, ``<key>-ProxyPlan-<array>.npy`` and, written last,
``<key>-ProxyPlan-description.json``. The key is the SHA-256 of a canonical JSON description of all that determines the
plan, so another seed, schedule or view means other files, and a stale plan cannot be taken for a fresh one. The
description file repeats that description, and holds dtype, shape and CRC-32 of each array.

:func:`open_or_build` (the first rank's) compares every byte with its CRC-32, and builds anew what does not fit;
:func:`open_built` (the other ranks') compares headers and sizes only, so that a thousand ranks need not read it all.

Every file is written beside its final name and renamed. Two builders at once write the same bytes twice, so whichever
rename comes last, a reader finds a whole plan. No pickle is written or read.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from ...errors import DatasetError
from ..dataset.manifest import replace_file
from .plan import Parts

FORMAT: Final = "megatron_proxy plan 1"

Arrays = dict[str, NDArray[Any]]
Build = Callable[[], Iterator[Parts]]
"""Starts the work; its parts hold the next rows of some arrays, by name."""

_HEADER_SIZE: Final = 128
_READ_SIZE: Final = 1 << 20
_DAY: Final = 24 * 60 * 60.0
_LOG: Final = logging.getLogger(__name__)


def key_of(description: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of the canonical JSON of a description."""
    return hashlib.sha256(_canonical(description).encode()).hexdigest()


def open_or_build(folder: str | os.PathLike[str], description: Mapping[str, Any], build: Build) -> Arrays:
    """The plan of a description: opened if it is there whole, else built, written and opened.

    Parameters
    ----------
    folder
        The cache folder; made if it is missing.
    description
        All that determines the plan; JSON-able.
    build
        Called only if the plan has to be built. A damaged plan is built again, with a warning in the log.

    Returns
    -------
    The arrays by name, read-only memory maps.

    Raises
    ------
    DatasetError
        If the folder cannot be written (no space, no permission).
    """
    try:
        found = _load(Path(folder), description, every_byte=True)
    except DatasetError as error:
        _LOG.warning("a cached plan is damaged and is built again: %s", error)
        found = None
    if found is not None:
        return found
    try:
        os.makedirs(folder, exist_ok=True)
        _write(Path(folder), description, build())
    except OSError as error:
        raise DatasetError(
            f"the plan cannot be written here ({error.strerror})",
            where=os.fspath(folder),
            fix="free some space, or give another folder with --data-cache-path",
        ) from error
    return open_built(folder, description)


def open_built(folder: str | os.PathLike[str], description: Mapping[str, Any]) -> Arrays:
    """The plan of a description that another process has built: read-only memory maps by name.

    Raises
    ------
    DatasetError
        If it is not there, or a file of it is missing, truncated, foreign or damaged in its header.
    """
    found = _load(Path(folder), description, every_byte=False)
    if found is None:
        raise DatasetError(
            "the plan that the first rank has built is not here",
            where=os.fspath(folder),
            fix="give a folder that all nodes share with --data-cache-path",
        )
    return found


@dataclass(frozen=True)
class _Entry:
    """What the description file says of one array."""

    dtype: str
    shape: list[int]
    crc32: int

    def header(self) -> bytes:
        """The npy header, format 1.0, padded to 128 bytes: written last, when the number of rows is known."""
        text = repr({"descr": self.dtype, "fortran_order": False, "shape": tuple(self.shape)})
        return b"\x93NUMPY\x01\x00\x76\x00" + text.ljust(_HEADER_SIZE - 11).encode() + b"\n"

    def open(self, path: Path, *, every_byte: bool) -> NDArray[Any]:
        """The array, if the file is what this entry says."""
        dtype = np.dtype(self.dtype)
        expected = _HEADER_SIZE + int(np.prod(self.shape)) * dtype.itemsize
        try:
            with path.open("rb") as file:
                if os.fstat(file.fileno()).st_size != expected:
                    raise _damaged(path, f"it should have {expected:,} bytes")
                if file.read(_HEADER_SIZE) != self.header():
                    raise _damaged(path, "its header is another array's")
                if every_byte and self.crc32 != _crc_of(file):
                    raise _damaged(path, "its CRC-32 does not fit")
            array = np.memmap(path, dtype=dtype, mode="r", offset=_HEADER_SIZE, shape=tuple(self.shape))
        except OSError as error:
            raise _damaged(path, f"it cannot be read ({error.strerror})") from error
        # A plain array on the map: indexing an np.memmap costs several times more.
        return np.asarray(array)


def _crc_of(file: BinaryIO) -> int:
    crc = 0
    while block := file.read(_READ_SIZE):
        crc = zlib.crc32(block, crc)
    return crc


def _load(folder: Path, description: Mapping[str, Any], *, every_byte: bool) -> Arrays | None:
    """The arrays of a plan; None if it is not there, a DatasetError if it is there and not whole."""
    path = _path(folder, description, "description.json")
    try:
        stored = json.loads(path.read_bytes())
        if stored["format"] != FORMAT or _canonical(stored["description"]) != _canonical(description):
            raise _damaged(path, "it describes another plan")
        entries = {str(name): _Entry(**entry) for name, entry in stored["arrays"].items()}
        return {
            name: entry.open(_path(folder, description, f"{name}.npy"), every_byte=every_byte)
            for name, entry in entries.items()
        }
    except FileNotFoundError:
        return None
    except DatasetError:
        raise
    except OSError as error:
        raise _damaged(path, f"it cannot be read ({error.strerror})") from error
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise _damaged(path, f"it is not a plan's description ({type(error).__name__})") from error


class _ArrayFile:
    """An npy file that grows by rows; its header is written when it is finished."""

    def __init__(self, path: Path) -> None:
        self._path = path
        descriptor, self._temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        self._file = os.fdopen(descriptor, "wb")
        self._file.write(bytes(_HEADER_SIZE))
        self._rows = 0
        self._crc = 0
        self._like: NDArray[Any] = np.empty(0)

    def append(self, rows: NDArray[Any]) -> None:
        """Add rows; dtype and the shape of a row must be those of the rows before."""
        content = np.ascontiguousarray(rows).data.cast("B") if rows.size else b""
        self._file.write(content)
        self._crc = zlib.crc32(content, self._crc)
        self._rows += len(rows)
        self._like = rows[:0]

    def finish(self) -> _Entry:
        """Write the header, and everything to disk, under the final name."""
        entry = _Entry(self._like.dtype.str, [self._rows, *self._like.shape[1:]], self._crc)
        self._file.seek(0)
        self._file.write(entry.header())
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        os.chmod(self._temporary, 0o644)
        os.replace(self._temporary, self._path)
        return entry

    def discard(self) -> None:
        """Delete what is not finished; after :meth:`finish` there is nothing to do."""
        # Closing writes what is left, for which there may be no room.
        with suppress(OSError):
            self._file.close()
        Path(self._temporary).unlink(missing_ok=True)


def _write(folder: Path, description: Mapping[str, Any], parts: Iterator[Parts]) -> None:
    """Write all parts, then the description."""
    _remove_leftovers(folder, description)
    files: dict[str, _ArrayFile] = {}
    with ExitStack() as stack:
        for part in parts:
            for name, rows in part.items():
                if name not in files:
                    files[name] = _ArrayFile(_path(folder, description, f"{name}.npy"))
                    stack.callback(files[name].discard)
                files[name].append(rows)
        entries = {name: asdict(file.finish()) for name, file in files.items()}
    content = {"format": FORMAT, "description": description, "arrays": entries}
    replace_file(_path(folder, description, "description.json"), (json.dumps(content, indent=1) + "\n").encode())


def _remove_leftovers(folder: Path, description: Mapping[str, Any]) -> None:
    """Delete what a killed builder of this plan has left; a living one has written within a day."""
    for path in folder.glob(f".{key_of(description)}-ProxyPlan-*"):
        # Another builder may finish or clean up at the same time.
        with suppress(FileNotFoundError):
            if path.stat().st_mtime < time.time() - _DAY:
                path.unlink()


def _canonical(description: object) -> str:
    return json.dumps(description, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _path(folder: Path, description: Mapping[str, Any], ending: str) -> Path:
    return folder / f"{key_of(description)}-ProxyPlan-{ending}"


def _damaged(path: Path, why: str) -> DatasetError:
    return DatasetError(f"this file of a cached plan is not usable: {why}", where=str(path), fix="delete it")
