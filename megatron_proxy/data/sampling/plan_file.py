"""A plan as a file: what determines it, and its arrays, behind a head that tells whether they are whole.

=================  =====================================================================================
bytes              meaning
=================  =====================================================================================
24, 4, 4           :data:`FORMAT`; length of the JSON and its CRC-32, as little-endian uint32
as many            JSON: the description; when the file was written; of each array dtype, shape, place
                   after the JSON, and CRC-32
the rest           the arrays, each at a multiple of 64 bytes
=================  =====================================================================================

The file is given the time that it says it was written at: :attr:`PlanFile.untouched`. Arrays grow in files without
names, which are gone with their process, whatever ends it; the plan is put together of them beside its final name and
renamed. Two writers at once write the same arrays twice, so whichever rename comes last, a reader finds a whole plan.
No pickle is written or read.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import struct
import tempfile
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO, Final, Self

import numpy as np
from numpy.typing import NDArray

from ...common.storage import maps
from ...common.storage.files import appearing
from ...errors import DatasetError
from .plan import Parts

FORMAT: Final = b"megatron_proxy plan 2\n"

Arrays = dict[str, NDArray[Any]]

_HEAD: Final = struct.Struct("<24sII")
_ALIGNMENT: Final = 64
_READ_SIZE: Final = 1 << 20
# A file changed in the second in which it was written would keep its time.
_EARLIER: Final = 10


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


class PlanFile:
    """A plan's file, open for reading; a context manager.

    Raises
    ------
    FileNotFoundError
        If it is not there.
    DatasetError
        If it cannot be read, or is not as long as its head says.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = path.open("rb")
        except FileNotFoundError:
            raise
        except OSError as error:
            maps.check_limit(error)
            raise damaged(path, f"it cannot be read ({error.strerror})") from error
        try:
            self._head, self._begin = _read_head(path, self._file)
        except BaseException:
            self._file.close()
            raise
        self.description = self._head.description
        """What determines the plan."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    @property
    def identity(self) -> tuple[int, int, int, int]:
        """Device, inode, size and time."""
        found = os.fstat(self._file.fileno())
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns

    @property
    def untouched(self) -> bool:
        """Whether it has the time that it was written at: nobody has changed it since."""
        return self.identity[-1] == self._head.written * 10**9

    def mark_untouched(self) -> None:
        """Give it that time."""
        os.utime(self.path, (self._head.written, self._head.written))

    def check(self) -> int:
        """Compare every byte of the arrays with its CRC-32; returns the size of the file.

        One that is damaged is a DatasetError.
        """
        for name, entry in self._head.arrays.items():
            self._file.seek(self._begin + entry.place)
            if _crc_of(self._file, entry.size) != entry.crc32:
                raise damaged(self.path, f"the CRC-32 of {name} does not fit")
        return self.identity[2]

    def arrays(self) -> Arrays:
        """The arrays by name, read-only memory maps that outlive the open file."""
        try:
            units = maps.map_file(self._file)
        except OSError as error:
            raise damaged(self.path, f"it cannot be read ({error.strerror})") from error
        arrays = {}
        for name, entry in self._head.arrays.items():
            begin = self._begin + entry.place
            arrays[name] = units[begin : begin + entry.size].view(entry.dtype).reshape(entry.shape)
        return arrays


def _read_head(path: Path, file: BinaryIO) -> tuple[_Head, int]:
    """The head, if the file is as long as it says, and where the arrays begin."""
    try:
        magic, size, crc = _HEAD.unpack(file.read(_HEAD.size))
        whole = os.fstat(file.fileno()).st_size
        # A size that is damaged may be of gigabytes.
        content = file.read(min(size, whole))
        if magic.rstrip(b"\0") != FORMAT or zlib.crc32(content) != crc:
            raise damaged(path, "its head is not a plan's")
        stored = json.loads(content)
        arrays = {str(name): _Entry(**entry) for name, entry in stored.pop("arrays").items()}
        head = _Head(**stored, arrays=arrays)
        begin = _aligned(_HEAD.size + size)
        if whole != begin + head.size:
            raise damaged(path, f"it should have {begin + head.size:,} bytes")
    except DatasetError:
        raise
    except OSError as error:
        raise damaged(path, f"it cannot be read ({error.strerror})") from error
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError, struct.error) as error:
        raise damaged(path, f"its head is not a plan's ({type(error).__name__})") from error
    return head, begin


def _crc_of(file: BinaryIO, size: int) -> int:
    crc = 0
    while size and (block := file.read(min(size, _READ_SIZE))):
        crc = zlib.crc32(block, crc)
        size -= len(block)
    return crc


class _ArrayFile:
    """An array that grows by rows, in a file without a name."""

    def __init__(self, folder: Path) -> None:
        self.file: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - write closes it
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


def write(path: Path, description: Mapping[str, Any], parts: Iterator[Parts]) -> None:
    """Write all parts, then put the plan together.

    Parameters
    ----------
    path
        The file, which appears whole or not at all.
    description
        All that determines the plan; JSON-able.
    parts
        The next rows of some arrays, by name.
    """
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


def damaged(path: Path, why: str) -> DatasetError:
    """The error of a plan that cannot be used."""
    return DatasetError(f"this cached plan is not usable: {why}", where=str(path), fix="delete it")
