"""Writing the ids of interleaved draws (see :mod:`.spans`)."""

from __future__ import annotations

from bisect import bisect_right

import numpy as np
from numpy.typing import NDArray

from ...common import rng
from ...common.rng import Purpose
from ...errors import DatasetError
from ..dataset.reader import AnyView
from . import kernels
from .plan import Plan
from .spans import spans_of, threshold


class SpanWriter:
    """Writes interleaved draws, one at a time."""

    def __init__(self, plan: Plan, raw: AnyView, codes: AnyView, spans: AnyView, code_offset: int) -> None:
        self._stream = rng.key(plan.spec.seed, Purpose.SPAN_FORMAT)
        self._documents = plan.draw_documents
        self._limits = [threshold(step.rate) for step in plan.spec.schedule.steps()]
        self._step_draws = plan.step_draws.tolist()
        self._raw, self._codes, self._spans = raw, codes, spans
        self._code_offset = code_offset

    def write(self, draw: int, skip: int, out: NDArray[np.int64], at: int) -> tuple[int, int]:
        """Write a draw's ids from ``skip`` on into ``out[at:]``; returns the next draw, and where the ids end.

        The last special skipped becomes the window's opener.

        Raises
        ------
        DatasetError
            If the spans reach beyond the views, or an index points outside its view.
        """
        document = self._documents.item(draw)
        spans = spans_of(self._spans, document)
        raw, codes = self._raw.get(document), self._codes.get(document)
        limit = self._limits[bisect_right(self._step_draws, draw) - 1]
        written, opener = kernels.assemble(
            spans, self._stream, draw, limit, skip, raw, codes, self._code_offset, out[at:]
        )
        if written < 0:
            raise DatasetError(
                f"the spans of document {document} do not add up to its views", fix="prepare the views again"
            )
        if skip:
            out[0] = opener
        return draw + 1, at + written
