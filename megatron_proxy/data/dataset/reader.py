r"""Reading views: the ``.bin`` and ``.idx`` files of Megatron's IndexedDataset, through numpy and memory maps.

Everything below the adaptor reads views here, without torch and without megatron. An ``.idx`` file is little-endian:

=======================  =========================================================
bytes                    meaning
=======================  =========================================================
9                        the magic ``MMIDIDX\x00\x00``
8                        version, uint64, always 1
1                        dtype code, uint8
8                        number of sequences S, uint64
8                        number of document indices D, uint64 (documents + 1)
4 S                      length of each sequence in units, int32
8 S                      where each sequence begins in the ``.bin`` file in bytes, int64
8 D                      the sequence at which each document begins, and S at the end, int64
=======================  =========================================================

Our datasets hold one sequence per document.
"""

from __future__ import annotations

import os
import struct
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...common.storage.maps import check_limit, map_file
from ...errors import DatasetError

MAGIC: Final = b"MMIDIDX\x00\x00"
HEADER: Final = struct.Struct("<9sQBQQ")
DTYPES: Final[dict[int, np.dtype[Any]]] = {
    code: np.dtype(name)
    for code, name in enumerate(("uint8", "int8", "int16", "int32", "int64", "float64", "float32", "uint16"), start=1)
}

PREPARE_AGAIN: Final = "prepare the view again, or restore the file"

Flat = tuple[NDArray[Any], NDArray[np.int64], NDArray[np.int32]]
"""All units of a view, and of each sequence where it begins in bytes, and its units."""


class Index:
    """The index of one view, memory-mapped: where its sequences are in the ``.bin`` file.

    ``path`` is that of its two files without ``.bin`` and ``.idx``, such as ``data/stdlib_raw_document``. A file that
    is missing, is not of this format, or is longer or shorter than its header says is a DatasetError.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        idx_path = f"{self.path}.idx"
        idx = _map(idx_path)
        self.dtype, sequences = _parse_header(idx, idx_path)
        lengths_end = HEADER.size + 4 * sequences
        pointers_end = lengths_end + 8 * sequences
        self.sequence_lengths: NDArray[np.int32] = idx[HEADER.size : lengths_end].view("<i4")
        """Units of each sequence: int32, shape (sequences,)."""
        self.sequence_pointers: NDArray[np.int64] = idx[lengths_end:pointers_end].view("<i8")
        """Where each sequence begins in the ``.bin`` file, in bytes: int64, shape (sequences,)."""
        self.document_indices: NDArray[np.int64] = idx[pointers_end:].view("<i8")
        """The sequence at which each document begins, then the number of sequences: int64, shape (documents + 1,)."""

    def __len__(self) -> int:
        return len(self.sequence_lengths)

    def _take_bytes(self, size: int) -> None:
        """Take the size of the ``.bin`` file, once it is checked against the last sequence."""
        self.units = size // self.dtype.itemsize
        """Units (bytes or codes) in all sequences together."""
        expected = 0
        if len(self):
            expected = int(self.sequence_pointers[-1]) + int(self.sequence_lengths[-1]) * self.dtype.itemsize
        if size != expected:
            raise DatasetError(
                f"the file has {size:,} bytes, its index says {expected:,}",
                where=f"{self.path}.bin",
                fix=PREPARE_AGAIN,
            )

    def _place(self, index: int, offset: int, length: int | None) -> tuple[int, int]:
        """Where a stretch of one sequence begins in the file, in units, and how long it is; errors as of ``get``."""
        # ndarray.item is the quickest way to one number.
        size, begin = self.sequence_lengths.item(index), self.sequence_pointers.item(index) // self.dtype.itemsize
        if not 0 <= begin <= begin + size <= self.units:
            raise DatasetError(
                f"sequence {index} lies outside the .bin file", where=f"{self.path}.idx", fix=PREPARE_AGAIN
            )
        if length is None:
            length = size - offset
        if offset < 0 or not 0 <= length <= size - offset:
            raise IndexError(f"units {offset} … {offset + length} of sequence {index}, which has {size}")
        return begin + offset, length


class ViewReader(Index):
    """One view, memory-mapped and read-only; what is wrong with its files is told as by :class:`Index`.

    The check reads the header and the last sequence only, whatever the size.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(path)
        content = _map(f"{self.path}.bin")
        self._take_bytes(len(content))
        self._units: NDArray[Any] = content.view(self.dtype)

    @property
    def flat(self) -> Flat:
        """The view as compiled loops take it."""
        return self._units, self.sequence_pointers, self.sequence_lengths

    def get(self, index: int, offset: int = 0, length: int | None = None) -> NDArray[Any]:
        """Units ``offset … offset + length`` of one sequence (to its end without ``length``).

        Returns
        -------
        A read-only 1-D array of :attr:`dtype` on the memory map: copy it if it has to outlive the reader's file.

        Raises
        ------
        IndexError
            If the stretch is not inside the sequence.
        DatasetError
            If the index is damaged, so that the sequence is not inside the file.
        """
        begin, length = self._place(index, offset, length)
        return self._units[begin : begin + length]

    def read_each(self, begin: int, end: int) -> Iterator[bytes]:
        """The units of the sequences ``begin … end - 1``, each as bytes.

        They are read, not mapped: mapped pages count as a process's memory, until the whole file is in it.

        Raises
        ------
        DatasetError
            If the file cannot be read, or is shorter than it was.
        """
        if begin == end:
            return
        try:
            with open(f"{self.path}.bin", "rb") as file:
                file.seek(int(self.sequence_pointers[begin]))
                for size in (self.sequence_lengths[begin:end].astype(np.int64) * self.dtype.itemsize).tolist():
                    content = file.read(size)
                    if len(content) != size:
                        raise DatasetError("the file ends early", where=f"{self.path}.bin", fix=PREPARE_AGAIN)
                    yield content
        except OSError as error:
            raise unreadable(f"{self.path}.bin", error) from error

    def check_index(self) -> None:
        """Check that all sequences are laid end to end, one per document, of which the constructor checks the last.

        Else a DatasetError.
        """
        lengths = self.sequence_lengths.astype(np.int64) * self.dtype.itemsize
        good = (
            (lengths >= 0).all()
            and (self.sequence_pointers == np.cumsum(lengths) - lengths).all()
            and np.array_equal(self.document_indices, np.arange(len(self) + 1))
        )
        if not good:
            raise DatasetError(
                "its sequences are not laid end to end, one per document", where=f"{self.path}.idx", fix=PREPARE_AGAIN
            )


class UnmappedView(Index):
    """One view whose units are read as they are asked for: what ``--no-mmap-bin-files`` asks for.

    A page of a mapped file that cannot be read kills the process, or holds it up; a file that is read gives an error.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(path)
        try:
            self._descriptor = os.open(f"{self.path}.bin", os.O_RDONLY)
        except OSError as error:
            check_limit(error)
            raise unreadable(f"{self.path}.bin", error) from error
        weakref.finalize(self, os.close, self._descriptor)
        self._take_bytes(os.fstat(self._descriptor).st_size)

    def get(self, index: int, offset: int = 0, length: int | None = None) -> NDArray[Any]:
        """Units ``offset … offset + length`` of one sequence, and errors: see :meth:`ViewReader.get`."""
        begin, length = self._place(index, offset, length)
        try:
            # Threads and forked workers share the file: its position is nobody's.
            content = os.pread(self._descriptor, length * self.dtype.itemsize, begin * self.dtype.itemsize)
        except OSError as error:
            raise unreadable(f"{self.path}.bin", error) from error
        if len(content) != length * self.dtype.itemsize:
            raise DatasetError("the file ends early", where=f"{self.path}.bin", fix=PREPARE_AGAIN)
        return np.frombuffer(content, dtype=self.dtype)


AnyView = ViewReader | UnmappedView


def unreadable(path: str, error: OSError) -> DatasetError:
    """The error for a file of a dataset that cannot be read."""
    return DatasetError(f"cannot be read ({error.strerror})", where=path, fix=PREPARE_AGAIN)


def check_size(path: Path, expected: int) -> None:
    """Check the size of a file against the manifest's; a DatasetError if it is another, or there is no such file."""
    try:
        size = path.stat().st_size
    except OSError as error:
        raise unreadable(str(path), error) from error
    if size != expected:
        raise DatasetError(
            f"the file has {size:,} bytes, the manifest says {expected:,}", where=str(path), fix=PREPARE_AGAIN
        )


def _map(path: str) -> NDArray[np.uint8]:
    """The bytes of a file, memory-mapped (an empty file cannot be mapped, and gives an empty array)."""
    try:
        with open(path, "rb") as file:
            return map_file(file) if os.fstat(file.fileno()).st_size else np.empty(0, dtype=np.uint8)
    except OSError as error:
        check_limit(error)
        raise unreadable(path, error) from error


def _parse_header(idx: NDArray[np.uint8], path: str) -> tuple[np.dtype[Any], int]:
    """The dtype and the number of sequences; the file's size is checked against them."""
    if len(idx) < HEADER.size or bytes(idx[: len(MAGIC)]) != MAGIC:
        raise DatasetError("this is not the index of an IndexedDataset", where=path, fix=PREPARE_AGAIN)
    _, version, code, sequences, indices = HEADER.unpack(idx[: HEADER.size].tobytes())
    if version != 1 or code not in DTYPES:
        raise DatasetError(
            f"index version {version} with dtype code {code} is unknown (known: version 1, codes 1 to {len(DTYPES)})",
            where=path,
            fix=PREPARE_AGAIN,
        )
    expected = HEADER.size + 12 * sequences + 8 * indices
    if len(idx) != expected:
        raise DatasetError(
            f"the file has {len(idx):,} bytes, its header says {expected:,} ({sequences:,} sequences)",
            where=path,
            fix=PREPARE_AGAIN,
        )
    return DTYPES[code], sequences
