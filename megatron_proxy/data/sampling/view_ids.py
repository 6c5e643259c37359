"""Views as windows read them.

Of a view only ``sequence_lengths`` and ``get(document, offset, length)`` are needed, so Megatron's IndexedDataset will
do as well as :class:`megatron_proxy.data.dataset.reader.ViewReader`, which is also a :class:`FlatView` and read several
times faster.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ...errors import DatasetError


class View(Protocol):
    """One view on disk."""

    @property
    def sequence_lengths(self) -> NDArray[np.int32]:
        """Units (bytes or codes) of each document: int32, shape (documents,)."""

    def get(self, idx: int, offset: int = 0, length: int | None = None, /) -> Any:
        """Units ``offset … offset + length`` of one document: a 1-D integer array."""


@runtime_checkable
class FlatView(View, Protocol):
    """A view whose units are one array, in memory or mapped into it."""

    @property
    def sequence_pointers(self) -> NDArray[np.int64]:
        """Where each document begins, in bytes: int64, shape (documents,)."""

    def stretch(self, begin: int, end: int) -> NDArray[Any]:
        """All units of the documents ``begin … end - 1``."""


Flat = tuple[NDArray[Any], NDArray[np.int64], NDArray[np.int32]]
"""A flat view as compiled loops take it: all units, and of each document where it begins in bytes, and its units."""


class ViewIds:
    """One view; its units become ids by adding ``offset``."""

    def __init__(self, view: View, offset: int) -> None:
        self._get = view.get
        # ndarray.item is the quickest way to one number.
        self.length = view.sequence_lengths.item
        self.offset = np.int64(offset)

    def units(self, document: int, skip: int, count: int) -> NDArray[Any]:
        """Some units of a document."""
        units: NDArray[Any] = self._get(document, skip, count)
        return units

    def read(self, document: int, skip: int, out: NDArray[np.int64]) -> None:
        """The ids of a document from ``skip`` on, as many as fill ``out``."""
        out[:] = self.units(document, skip, len(out))
        out += self.offset


class FlatViewIds(ViewIds):
    """Of a :class:`FlatView`, read without ``get``, which looks each document up."""

    def __init__(self, view: FlatView, offset: int) -> None:
        super().__init__(view, offset)
        self._units = view.stretch(0, len(view.sequence_lengths))
        self._pointer = view.sequence_pointers.item
        self._itemsize = self._units.itemsize
        self.flat: Flat = (self._units, view.sequence_pointers, view.sequence_lengths)

    def units(self, document: int, skip: int, count: int) -> NDArray[Any]:
        """Some units of a document."""
        begin = self._pointer(document) // self._itemsize + skip
        units = self._units[begin : begin + count]
        if begin < 0 or len(units) != count:
            raise outside_file()
        return units


def open_ids(view: View, offset: int) -> ViewIds:
    """The fastest way to read a view."""
    return FlatViewIds(view, offset) if isinstance(view, FlatView) else ViewIds(view, offset)


def outside_file() -> DatasetError:
    """What is wrong where a document is not inside its view."""
    return DatasetError("the index of a view points outside its .bin file", fix="prepare the views again")
