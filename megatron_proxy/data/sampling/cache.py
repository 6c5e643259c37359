"""Plans on disk: computed once, then memory-mapped by every process of a run and by every run after it.

A plan is one file in Megatron's cache folder, ``<key>-ProxyPlan.plan``. The key is the SHA-256 of a canonical JSON
description of all that determines the plan, so another seed, schedule or view means another file, and a stale plan
cannot be taken for a fresh one. The file:

=================  =====================================================================================
bytes              meaning
=================  =====================================================================================
24, 4, 4           :data:`FORMAT`; length of the JSON and its CRC-32, as little-endian uint32
as many            JSON: the description; when the file was written; of each array dtype, shape, place
                   after the JSON, and CRC-32
the rest           the arrays, each at a multiple of 64 bytes
=================  =====================================================================================

The file is given the time that it says it was written at. So its content need not be read again to be trusted: any
later change, and most ways of copying, give it another time. Only then is every byte compared with its CRC-32, once per
process, by those that may build the plan anew (:func:`open_or_build`).

Arrays grow in files without names, which are gone with their process, whatever ends it; the plan is put together of
them beside its final name and renamed. Two builders at once write the same arrays twice, so whichever rename comes
last, a reader finds a whole plan. No pickle is written or read.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import math
import os
import shutil
import struct
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from ...common.storage import filesystems, maps
from ...common.storage.files import appearing
from ...errors import DatasetError
from .plan import Parts

FORMAT: Final = b"megatron_proxy plan 2\n"

Arrays = dict[str, NDArray[Any]]
Build = Callable[[], Iterator[Parts]]
"""Starts the work; its parts hold the next rows of some arrays, by name."""

ATTRIBUTES_SECONDS: Final = 60.0
"""For so long a client of a network file system may not know of a new file (the usual limit of NFS)."""

_HEAD: Final = struct.Struct("<24sII")
_ALIGNMENT: Final = 64
_READ_SIZE: Final = 1 << 20
_DAY: Final = 24 * 60 * 60.0
# A file changed in the second in which it was written would keep its time.
_EARLIER: Final = 10
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 2.0
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
        Called only if the plan has to be built. A damaged plan is built again, with a warning in the log. In a folder
        of this machine's own it is built by one process, for which the others wait.

    Returns
    -------
    The arrays by name, read-only memory maps.

    Raises
    ------
    DatasetError
        If the folder cannot be written (no space, no permission).
    """
    path = path_of(folder, description)
    if (found := _whole(path, description)) is not None:
        return found
    try:
        os.makedirs(folder, exist_ok=True)
        with _alone(path):
            if (found := _whole(path, description)) is not None:
                return found
            _write(path, description, build())
    except OSError as error:
        maps.check_limit(error)
        raise DatasetError(
            f"the plan cannot be written here ({error.strerror})",
            where=os.fspath(folder),
            fix="free some space, or give another folder with --data-cache-path",
        ) from error
    return open_built(folder, description)


def open_built(folder: str | os.PathLike[str], description: Mapping[str, Any], wait: float = 0.0) -> Arrays:
    """The plan of a description that another process has built: read-only memory maps by name.

    One that is not there, or not whole, is looked for again for ``wait`` seconds (see :data:`ATTRIBUTES_SECONDS`);
    then a DatasetError.
    """
    path = path_of(folder, description)
    last, pause = time.monotonic() + wait, _FIRST_PAUSE
    while True:
        try:
            if (found := _load(path, description, every_byte=False)) is not None:
                return found
            raise DatasetError(
                "the plan that the first rank has built is not here",
                where=os.fspath(folder),
                fix="give a folder that all nodes share, or one on each node's own disk, with --data-cache-path",
            )
        except DatasetError:
            if time.monotonic() >= last:
                raise
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


def path_of(folder: str | os.PathLike[str], description: Mapping[str, Any]) -> Path:
    """Where the plan of a description is kept."""
    return Path(folder) / f"{key_of(description)}-ProxyPlan.plan"


def check(path: Path) -> int:
    """Compare every byte of a plan with its CRC-32, whatever its time; returns how many there are.

    One that is damaged is a DatasetError.
    """
    with _open(path) as file:
        _check_bytes(path, file, *_read_head(path, file))
        return os.fstat(file.fileno()).st_size


@dataclass(frozen=True)
class _Entry:
    """What the head says of one array; ``place`` is the number of bytes between the end of the head and the array."""

    dtype: str
    shape: list[int]
    place: int
    crc32: int

    def __post_init__(self) -> None:
        if np.dtype(self.dtype).kind not in "iu" or self.place % _ALIGNMENT or min(self.place, *self.shape) < 0:
            raise ValueError("this is no place of an array of integers")

    @property
    def size(self) -> int:
        """Bytes of the array."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class _Head:
    """The head of a plan's file: what determines the plan, when it was written (in seconds), and its arrays."""

    description: Mapping[str, Any]
    written: int
    arrays: dict[str, _Entry]

    def to_bytes(self) -> bytes:
        """The beginning of the file, up to the first array."""
        content = json.dumps(asdict(self)).encode()
        head = _HEAD.pack(FORMAT, len(content), zlib.crc32(content)) + content
        return head.ljust(_aligned(len(head)), b"\0")

    @property
    def size(self) -> int:
        """Bytes of all arrays, with what is between them."""
        return max((entry.place + entry.size for entry in self.arrays.values()), default=0)


def _aligned(place: int) -> int:
    return -(-place // _ALIGNMENT) * _ALIGNMENT


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise
    except OSError as error:
        maps.check_limit(error)
        raise _damaged(path, f"it cannot be read ({error.strerror})") from error


def _read_head(path: Path, file: BinaryIO) -> tuple[_Head, int]:
    """The head, if the file is as long as it says, and where the arrays begin."""
    try:
        magic, size, crc = _HEAD.unpack(file.read(_HEAD.size))
        content = file.read(size)
        if magic.rstrip(b"\0") != FORMAT or zlib.crc32(content) != crc:
            raise _damaged(path, "its head is not a plan's")
        stored = json.loads(content)
        arrays = {str(name): _Entry(**entry) for name, entry in stored.pop("arrays").items()}
        head = _Head(**stored, arrays=arrays)
        begin = _aligned(_HEAD.size + size)
        if os.fstat(file.fileno()).st_size != begin + head.size:
            raise _damaged(path, f"it should have {begin + head.size:,} bytes")
    except DatasetError:
        raise
    except OSError as error:
        raise _damaged(path, f"it cannot be read ({error.strerror})") from error
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError, struct.error) as error:
        raise _damaged(path, f"its head is not a plan's ({type(error).__name__})") from error
    return head, begin


def _whole(path: Path, description: Mapping[str, Any]) -> Arrays | None:
    """The plan, if it is there and not damaged."""
    try:
        return _load(path, description, every_byte=True)
    except DatasetError as error:
        _LOG.warning("a cached plan is damaged and is built again: %s", error)
        return None


def _load(path: Path, description: Mapping[str, Any], *, every_byte: bool) -> Arrays | None:
    """The arrays of a plan; None if it is not there, a DatasetError if it is there and not whole."""
    try:
        file = _open(path)
    except FileNotFoundError:
        return None
    with file:
        head, begin = _read_head(path, file)
        if _canonical(head.description) != _canonical(description):
            raise _damaged(path, "it describes another plan")
        if every_byte:
            _trust(path, file, head, begin)
        try:
            units = maps.map_file(file)
        except OSError as error:
            raise _damaged(path, f"it cannot be read ({error.strerror})") from error
    return {name: _array(units[begin + entry.place :], entry) for name, entry in head.arrays.items()}


def _array(units: NDArray[np.uint8], entry: _Entry) -> NDArray[Any]:
    return units[: entry.size].view(entry.dtype).reshape(entry.shape)


_trusted: Final[set[tuple[int, int, int, int]]] = set()
"""Files that this process has read: device, inode, size and time."""


def _trust(path: Path, file: BinaryIO, head: _Head, begin: int) -> None:
    """Read the whole file, unless nobody has changed it since it was written, or this process has read it before."""
    found = os.fstat(file.fileno())
    identity = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
    if found.st_mtime_ns == head.written * 10**9 or identity in _trusted:
        return
    _check_bytes(path, file, head, begin)
    _trusted.add(identity)
    # A copied plan is read once only, if it may be given its time back.
    with suppress(OSError):
        os.utime(path, (head.written, head.written))


def _check_bytes(path: Path, file: BinaryIO, head: _Head, begin: int) -> None:
    for name, entry in head.arrays.items():
        file.seek(begin + entry.place)
        if _crc_of(file, entry.size) != entry.crc32:
            raise _damaged(path, f"the CRC-32 of {name} does not fit")


def _crc_of(file: BinaryIO, size: int) -> int:
    crc = 0
    while size and (block := file.read(min(size, _READ_SIZE))):
        crc = zlib.crc32(block, crc)
        size -= len(block)
    return crc


class _ArrayFile:
    """An array that grows by rows, in a file without a name."""

    def __init__(self, folder: Path) -> None:
        self.file: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - _write closes it
        self._rows = 0
        self._crc = 0
        self._like: NDArray[Any] = np.empty(0)

    def append(self, rows: NDArray[Any]) -> None:
        """Add rows; dtype and the shape of a row must be those of the rows before."""
        content = np.ascontiguousarray(rows).data.cast("B") if rows.size else b""
        self.file.write(content)
        self._crc = zlib.crc32(content, self._crc)
        self._rows += len(rows)
        self._like = rows[:0]

    def entry(self, place: int) -> _Entry:
        """What there is now, for the head of a file in which it begins at ``place``."""
        return _Entry(self._like.dtype.str, [self._rows, *self._like.shape[1:]], place, self._crc)


def _write(path: Path, description: Mapping[str, Any], parts: Iterator[Parts]) -> None:
    """Write all parts, then put the plan together."""
    _remove_leftovers(path)
    arrays: dict[str, _ArrayFile] = {}
    with ExitStack() as stack:
        for part in parts:
            for name, rows in part.items():
                if name not in arrays:
                    arrays[name] = _ArrayFile(path.parent)
                    stack.enter_context(arrays[name].file)
                arrays[name].append(rows)
        _publish(path, description, arrays)


def _publish(path: Path, description: Mapping[str, Any], arrays: Mapping[str, _ArrayFile]) -> None:
    entries: dict[str, _Entry] = {}
    place = 0
    for name, array in arrays.items():
        entries[name] = array.entry(_aligned(place))
        place = entries[name].place + entries[name].size
    head = _Head(description, int(time.time()) - _EARLIER, entries)
    content = head.to_bytes()
    with appearing(path) as beside:
        with beside.open("wb") as file:
            file.write(content)
            for name, array in arrays.items():
                file.write(bytes(len(content) + entries[name].place - file.tell()))
                array.file.seek(0)
                shutil.copyfileobj(array.file, file, _READ_SIZE)
        os.utime(beside, (head.written, head.written))


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Build a plan in one process of this machine at a time; the kernel ends the lock with its process.

    Locks over a network may hang. There, the first rank builds alone.
    """
    if filesystems.is_shared(path.parent):
        yield
        return
    lock = path.with_name(f".{path.name}.lock")
    with lock.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def _remove_leftovers(path: Path) -> None:
    """Delete what a killed builder of this plan has left; a living one has written within a day."""
    for left in path.parent.glob(f".{path.stem}*"):
        # Another builder may finish or clean up at the same time.
        with suppress(FileNotFoundError):
            if left.stat().st_mtime < time.time() - _DAY:
                left.unlink()


def _canonical(description: object) -> str:
    return json.dumps(description, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _damaged(path: Path, why: str) -> DatasetError:
    return DatasetError(f"this cached plan is not usable: {why}", where=str(path), fix="delete it")
