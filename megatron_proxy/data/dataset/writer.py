"""Writing views: the files that Megatron's IndexedDatasetBuilder writes, in constant memory and without torch.

The builder itself keeps a list of all lengths, and importing it brings all of Megatron, which takes longer than many a
corpus. A test holds both to the same bytes.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray

from .reader import DTYPES, HEADER, MAGIC

_BLOCK: Final = 1 << 16


class ViewWriter:
    """Writes ``PATH.bin`` and ``PATH.idx``, many sequences at once, one document per sequence.

    The lengths wait in a temporary file, so that memory does not grow with the documents.
    """

    def __init__(self, path: str, dtype: np.dtype[Any]) -> None:
        self._path = path
        self._dtype = dtype
        # The one without a name first: if there is no room for both, nothing is left behind.
        self._lengths: IO[bytes] = tempfile.TemporaryFile(dir=os.path.dirname(path) or ".")  # noqa: SIM115
        try:
            self._bin = open(f"{path}.bin", "wb")  # noqa: SIM115 - finish() and close() close it
        except OSError:
            self._lengths.close()
            raise
        self._count = 0

    def add(self, units: bytes | memoryview, lengths: NDArray[np.int32]) -> None:
        """Append sequences: their units one after the other, and the number of units of each."""
        self._bin.write(units)
        self._lengths.write(lengths.astype("<i4").tobytes())
        self._count += len(lengths)

    def finish(self) -> None:
        """Write the index; both files are closed then."""
        self._bin.close()
        code = next(code for code, dtype in DTYPES.items() if dtype == self._dtype)
        with open(f"{self._path}.idx", "wb") as idx:
            idx.write(HEADER.pack(MAGIC, 1, code, self._count, self._count + 1))
            pointer = 0
            for lengths in self._blocks():
                idx.write(lengths.tobytes())
            for lengths in self._blocks():
                ends = pointer + np.cumsum(lengths, dtype=np.int64) * self._dtype.itemsize
                idx.write((ends - lengths.astype(np.int64) * self._dtype.itemsize).astype("<i8").tobytes())
                pointer = int(ends[-1])
            for begin in range(0, self._count + 1, _BLOCK):
                idx.write(np.arange(begin, min(begin + _BLOCK, self._count + 1), dtype="<i8").tobytes())
        self._lengths.close()

    def _blocks(self) -> Iterator[NDArray[np.int32]]:
        """The lengths, int32, a block at a time."""
        self._lengths.seek(0)
        while block := self._lengths.read(4 * _BLOCK):
            yield np.frombuffer(block, dtype="<i4")

    def close(self) -> None:
        """Give up: close what is open, whatever state it is in."""
        for file in (self._bin, self._lengths):
            # Closing writes what is buffered, which fails again where writing has failed.
            with suppress(OSError):
                file.close()
