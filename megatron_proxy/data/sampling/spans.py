"""Interleaved draws: one document whose spans alternate between the views.

A span is a stretch that its compressor encoded on its own, so the model can read it in either view. Span *j* of draw
*k* is compressed if the random number at counter j of (seed, ``SPAN_FORMAT``, k) is below the rate. Adjacent spans of
one format make a run, and each run stands in its sentinels:

``<compressed> C₁ C₂ </compressed> <raw> R₃ </raw> <compressed> C₄ </compressed> eos``

Nothing is read twice: every byte of the document is in exactly one view. A document without spans is just ``eos``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from ...common import rng
from ...errors import ConfigurationError, DatasetError
from ...common.rng import Purpose


class SpanView(Protocol):
    """The view on disk that holds the spans: the flattened pairs (bytes, codes) of each document."""

    @property
    def sequence_lengths(self) -> NDArray[np.int32]:
        """Units of each sequence."""

    def stretch(self, begin: int, end: int) -> NDArray[Any]:
        """All units of the sequences ``begin … end - 1``."""


@dataclass(frozen=True)
class SpanTable:
    """The spans of all documents.

    Parameters
    ----------
    offsets
        int64, shape (documents + 1,): document d has the spans ``offsets[d] … offsets[d + 1] - 1``.
    lengths
        uint16, shape (spans, 2): bytes and codes of each span.
    """

    offsets: NDArray[np.int64]
    lengths: NDArray[np.uint16]

    @classmethod
    def from_view(cls, view: SpanView) -> Self:
        """The table of a spans view, its lengths still memory-mapped.

        Raises
        ------
        DatasetError
            If the view does not hold pairs of uint16.
        """
        units = view.sequence_lengths
        flat = view.stretch(0, len(units)) if len(units) else np.empty(0, dtype=np.uint16)
        pairs = flat.dtype == np.uint16 and not (units % 2).any() and not (units < 0).any()
        if not pairs or len(flat) != units.sum(dtype=np.int64):
            raise DatasetError("the spans view does not hold pairs of uint16", fix="prepare the view again")
        offsets = np.zeros(len(units) + 1, dtype=np.int64)
        np.cumsum(units, out=offsets[1:], dtype=np.int64)
        offsets //= 2
        return cls(offsets, flat.reshape(-1, 2))

    def of(self, document: int) -> NDArray[np.uint16]:
        """The spans of one document: uint16, shape (spans, 2)."""
        return self.lengths[self.offsets.item(document) : self.offsets.item(document + 1)]


def require_spans(table: SpanTable | None) -> SpanTable:
    """The table, or a ConfigurationError if the dataset has none."""
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


def measure(
    table: SpanTable, seed: int, draws: NDArray[np.int64], documents: NDArray[np.int32], rate: float
) -> NDArray[np.int64]:
    """Totals of interleaved draws: int64, shape (n, 4).

    The columns: bytes in raw runs, source bytes in compressed runs, ids, codes of the whole document.
    """
    from . import kernels

    out = np.empty((len(draws), 4), dtype=np.int64)
    stream = rng.key(seed, Purpose.SPAN_FORMAT)
    kernels.measure(table.offsets, table.lengths, draws, documents, stream, threshold(rate), out)
    return out


def measure_before(
    table: SpanTable,
    seed: int,
    draws: NDArray[np.int64],
    documents: NDArray[np.int32],
    rate: float,
    ends: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Source bytes in raw and in compressed runs before an offset (in ids) of each draw: int64, shape (n, 2).

    Inside a compressed span its bytes are spread evenly over its codes and rounded down.
    """
    from . import kernels

    out = np.empty((len(draws), 2), dtype=np.int64)
    stream = rng.key(seed, Purpose.SPAN_FORMAT)
    kernels.measure_before(table.offsets, table.lengths, draws, documents, stream, threshold(rate), ends, out)
    return out
