"""What draws take up in the stream: of whole views, which add up from the documents' sizes, or of spans."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...common import rng
from ...common.rng import Purpose
from ...errors import DatasetError
from . import draws, kernels, spans
from .plan import DocumentSizes
from .schedule import Mode


class Drawn(NamedTuple):
    """Some consecutive draws: numbers, documents, forms, ids of each, and source bytes of each view (shape (n, 2))."""

    numbers: NDArray[np.int64]
    documents: NDArray[np.int32]
    forms: NDArray[np.uint8]
    lengths: NDArray[np.int64]
    source: NDArray[np.int64]

    def rows(self, which: slice | NDArray[np.int64]) -> Drawn:
        """Some of these draws."""
        return Drawn._make(column[which] for column in self)


class WholeViews:
    """Draws of :data:`.draws.LAYOUTS`."""

    def __init__(self, sizes: DocumentSizes) -> None:
        self._sizes = sizes

    def measure(
        self, numbers: NDArray[np.int64], documents: NDArray[np.int32], forms: NDArray[np.uint8], rate: float
    ) -> Drawn:
        """Draws, measured: by their forms, whatever the rate."""
        raw, codes = self._sizes.of(documents)
        lengths = draws.form_lengths(forms, raw, codes)
        return Drawn(numbers, documents, forms, lengths, draws.form_source_bytes(forms, raw))

    def source_bytes_before(self, drawn: Drawn, offsets: NDArray[np.int64], rate: float) -> NDArray[np.int64]:
        """Source bytes of each view before an offset inside each draw: int64, shape (n, 2)."""
        return draws.source_bytes_before(drawn.forms, *self._sizes.of(drawn.documents), offsets)


class Interleaved:
    """Draws of :mod:`.spans`; a ConfigurationError if the sizes have none."""

    def __init__(self, sizes: DocumentSizes, seed: int) -> None:
        self._sizes = sizes
        self._spans = spans.require_spans(sizes.spans).flat
        self._stream = rng.key(seed, Purpose.SPAN_FORMAT)

    def measure(
        self, numbers: NDArray[np.int64], documents: NDArray[np.int32], forms: NDArray[np.uint8], rate: float
    ) -> Drawn:
        """Draws, measured by the rate, which falls on spans; a DatasetError if these do not add up to the views."""
        measured = self._measured(numbers, documents, rate, np.full(len(numbers), kernels.ENDLESS))
        raw, codes = self._sizes.of(documents)
        # The loops over spans trust these sums when they read the views.
        if (measured[:, 0] + measured[:, 1] != raw).any() or (measured[:, 3] != codes).any():
            raise DatasetError("the spans of a document do not add up to its views", fix="prepare the views again")
        return Drawn(numbers, documents, forms, measured[:, 2], measured[:, :2])

    def source_bytes_before(self, drawn: Drawn, offsets: NDArray[np.int64], rate: float) -> NDArray[np.int64]:
        """Source bytes of each view before an offset inside each draw: int64, shape (n, 2).

        Inside a compressed span its bytes are spread evenly over its codes and rounded down.
        """
        return self._measured(drawn.numbers, drawn.documents, rate, offsets)[:, :2]

    def _measured(
        self, numbers: NDArray[np.int64], documents: NDArray[np.int32], rate: float, ends: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        out = np.empty((len(numbers), 4), dtype=np.int64)
        kernels.measure(self._spans, numbers, documents, self._stream, spans.threshold(rate), ends, out)
        return out


def layout_of(mode: Mode, sizes: DocumentSizes, seed: int) -> WholeViews | Interleaved:
    """What measures the draws of a mode."""
    return Interleaved(sizes, seed) if mode.in_spans else WholeViews(sizes)
