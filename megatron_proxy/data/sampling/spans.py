"""Interleaved draws: one document whose spans alternate between the views.

A span is a stretch that its compressor encoded on its own, so the model can read it in either view. Span *j* of draw
*k* is compressed if the random number at counter j of (seed, ``SPAN_FORMAT``, k) is below the rate. Adjacent spans of
one format make a run, and each run stands in its sentinels:

``<compressed> C₁ C₂ </compressed> <raw> R₃ </raw> <compressed> C₄ </compressed> eos``

Nothing is read twice: every byte of the document is in exactly one view. A document without spans is just ``eos``.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ...errors import ConfigurationError, DatasetError
from ..dataset.reader import AnyView


def require_spans[View: AnyView](view: View | None) -> View:
    """The view of the spans: of each document the flattened pairs (bytes, codes).

    Without one it is a ConfigurationError, and a DatasetError if it holds anything but uint16.
    """
    if view is None:
        raise ConfigurationError(
            "the mode interleaved needs a compressor that encodes documents in spans; this dataset has none",
            where="--proxy-mode, --proxy-warmup-mode, --proxy-final-mode",
            fix="choose another mode, or a compressor with spans, such as zstd",
        )
    if view.dtype != np.uint16:
        raise _no_pairs()
    return view


def spans_of(view: AnyView, document: int) -> NDArray[np.uint16]:
    """The spans of one document, uint16, shape (spans, 2); a DatasetError if the view holds something else."""
    units = view.get(document)
    if len(units) % 2:
        raise _no_pairs()
    return units.reshape(-1, 2)


def _no_pairs() -> DatasetError:
    return DatasetError("the spans view does not hold pairs of uint16", fix="prepare the view again")


def threshold(rate: float) -> np.uint64:
    """The rate as an integer t: ``uniform < rate`` exactly where the 53 random bits are below t."""
    return np.uint64(math.ceil(rate * 2.0**53))
