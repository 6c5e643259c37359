"""Interleaved draws: one document whose spans alternate between the views.

A span is a stretch that its compressor encoded on its own, so the model can read it in either view. Span *j* of draw
*k* is compressed if the random number at counter j of (seed, ``SPAN_FORMAT``, k) is below the rate. Adjacent spans of
one format make a run, and each run stands in its sentinels:

``<compressed> C₁ C₂ </compressed> <raw> R₃ </raw> <compressed> C₄ </compressed> eos``

Nothing is read twice: every byte of the document is in exactly one view. A document without spans is just ``eos``.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...errors import ConfigurationError, DatasetError
from .view_ids import Flat, FlatView, View, outside_file


class Spans(Protocol):
    """The spans of documents, wherever they are."""

    def of(self, document: int) -> NDArray[np.uint16]:
        """The spans of one document, (bytes, codes) of each: uint16, shape (spans, 2)."""


class SpanTable:
    """The spans of all documents, as they lie on disk: nothing is read before it is asked for.

    Of a document its spans are the flattened pairs (bytes, codes). Whether they lie inside the file is seen where a
    document is read, and checked for all of them by :mod:`megatron_proxy.data.dataset.verify`; a view of anything but
    uint16 is a DatasetError at once.
    """

    def __init__(self, view: FlatView) -> None:
        sizes = view.sequence_lengths
        units = view.stretch(0, len(sizes)) if len(sizes) else np.empty(0, dtype=np.uint16)
        if units.dtype != np.uint16:
            raise DatasetError("the spans view does not hold pairs of uint16", fix="prepare the view again")
        self.flat: Flat = (units, view.sequence_pointers, sizes)

    def __len__(self) -> int:
        return len(self.flat[2])

    def of(self, document: int) -> NDArray[np.uint16]:
        """The spans of one document, uint16, shape (spans, 2); a DatasetError if they are not inside the view."""
        units, pointers, sizes = self.flat
        begin, size = pointers.item(document) // 2, sizes.item(document)
        if size < 0 or size % 2 or not 0 <= begin <= len(units) - size:
            raise outside_file()
        return units[begin : begin + size].reshape(-1, 2)


class SpanReader:
    """The spans of documents from any view, read one document at a time."""

    def __init__(self, view: View) -> None:
        self._get = view.get

    def of(self, document: int) -> NDArray[np.uint16]:
        """The spans of one document, uint16, shape (spans, 2); a DatasetError if the view holds something else."""
        units: NDArray[Any] = self._get(document)
        if units.dtype != np.uint16 or len(units) % 2:
            raise DatasetError("the spans view does not hold pairs of uint16", fix="prepare the view again")
        return units.reshape(-1, 2)


def require_spans[Table](table: Table | None) -> Table:
    """The spans, or a ConfigurationError if the dataset has none."""
    if table is None:
        raise ConfigurationError(
            "the mode interleaved needs a compressor that encodes documents in spans; this dataset has none",
            where="--proxy-mode, --proxy-warmup-mode, --proxy-final-mode",
            fix="choose another mode, or a compressor with spans, such as zstd",
        )
    return table


def threshold(rate: float) -> np.uint64:
    """The rate as an integer t: ``uniform < rate`` exactly where the 53 random bits are below t."""
    return np.uint64(math.ceil(rate * 2.0**53))
