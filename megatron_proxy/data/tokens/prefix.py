"""The ``.bin`` and ``.idx`` of a tokenized corpus, as Megatron's tools/preprocess_data.py writes them.

A document has any number of sequences: one, none if it is empty, or one for each sentence (``--split-sentences``). Its
ids are those of all of them, one after the other.
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...errors import CorpusError, DatasetError
from ..corpus.source import changed, unreadable
from ..dataset.reader import Index

_BLOCK: Final = 1 << 20
_FIX: Final = "name what tools/preprocess_data.py wrote, without .bin and .idx; if a file is damaged, fetch it again"


class TokenPrefix(Index):
    """One tokenized corpus, its index mapped: ``path`` is that of its two files without ``.bin`` and ``.idx``.

    A file that is missing, or is not what the other one says, is a CorpusError.
    """

    def __init__(self, path: str) -> None:
        try:
            super().__init__(path)
            self.size = os.stat(f"{path}.bin").st_size
            self._take_bytes(self.size)
        except DatasetError as error:
            raise CorpusError(error.what, where=error.where, fix=_FIX) from error
        except OSError as error:
            raise CorpusError(f"cannot be read ({error.strerror})", where=f"{path}.bin", fix=_FIX) from error
        if not np.issubdtype(self.dtype, np.integer):
            raise CorpusError(f"holds {self.dtype} numbers, which are no ids", where=f"{path}.idx", fix=_FIX)

    @property
    def documents(self) -> int:
        """How many documents there are."""
        return max(len(self.document_indices) - 1, 0)

    def check(self) -> None:
        """Check all of the index, in memory that does not grow with it; what is wrong is a CorpusError."""
        pointer = 0
        for begin in range(0, len(self), _BLOCK):
            sizes = self.sequence_lengths[begin : begin + _BLOCK].astype(np.int64) * self.dtype.itemsize
            ends = pointer + np.cumsum(sizes)
            if (sizes < 0).any() or not np.array_equal(self.sequence_pointers[begin : begin + _BLOCK], ends - sizes):
                raise self._damaged("its sequences are not laid end to end")
            pointer = int(ends[-1])
        borders = self.document_indices
        if not len(borders) or borders[0] != 0 or borders[-1] != len(self):
            raise self._damaged("its documents are not those of all its sequences")
        for begin in range(0, len(borders), _BLOCK):
            if (np.diff(borders[begin : begin + _BLOCK + 1]) < 0).any():
                raise self._damaged("its documents do not follow each other")

    def offset(self, document: int) -> int:
        """Where a document begins in the ``.bin`` file, in bytes; what follows the last one begins at its end."""
        return self._offset_of(int(self.document_indices[document]))

    def ids(self, first: int, stop: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """The ids of the documents ``first … stop - 1`` one after the other, and where those of each document end.

        Raises
        ------
        CorpusError
            If the file cannot be read, or is shorter than it was.
        """
        sequences = self.document_indices[first : stop + 1]
        begin = self._offset_of(int(sequences[0]))
        ends = np.array([self._offset_of(sequence) for sequence in sequences[1:].tolist()], dtype=np.int64)
        return self._read(begin, int(ends[-1])), (ends - begin) // self.dtype.itemsize

    def first_ids(self, count: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """The first ids, so many at most, and where those of each sequence among them end."""
        ends = np.cumsum(self.sequence_lengths[:count], dtype=np.int64)
        ends = np.minimum(ends[: int(np.searchsorted(ends, count)) + 1], count)
        return self._read(0, int(ends[-1]) * self.dtype.itemsize if len(ends) else 0), ends

    def _offset_of(self, sequence: int) -> int:
        return int(self.sequence_pointers[sequence]) if sequence < len(self) else self.size

    def _read(self, begin: int, end: int) -> NDArray[Any]:
        # Read, not mapped: mapped pages count as a process's memory, until the whole file is in it.
        path = f"{self.path}.bin"
        try:
            with open(path, "rb") as file:
                file.seek(begin)
                content = file.read(end - begin)
        except OSError as error:
            raise unreadable(path, error) from error
        if len(content) != end - begin:
            raise changed(path)
        return np.frombuffer(content, dtype=self.dtype)

    def _damaged(self, what: str) -> CorpusError:
        return CorpusError(f"the index is damaged: {what}", where=f"{self.path}.idx", fix=_FIX)


def opened(path: str) -> TokenPrefix:
    """A prefix, which this process keeps open for the next chunk."""
    about = os.stat(f"{path}.idx")
    return _opened(path, about.st_ino, about.st_mtime_ns)


@lru_cache(maxsize=64)
def _opened(path: str, *written: int) -> TokenPrefix:
    return TokenPrefix(path)
