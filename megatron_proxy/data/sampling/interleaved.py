"""Writing the ids of interleaved draws (see :mod:`.spans`)."""

from __future__ import annotations

from bisect import bisect_right

import numpy as np
from numpy.typing import NDArray

from ...common import rng
from ...common.rng import Purpose
from ...errors import DatasetError
from . import kernels
from .plan import Plan
from .spans import Spans, SpanTable, threshold
from .view_ids import FlatViewIds, ViewIds, outside_file


class SpanWriter:
    """Writes interleaved draws from any views, a draw at a time."""

    def __init__(self, table: Spans, plan: Plan, raw: ViewIds, codes: ViewIds) -> None:
        self._table = table
        self._stream = rng.key(plan.spec.seed, Purpose.SPAN_FORMAT)
        self._documents = plan.draw_documents
        self._limits = [threshold(step.rate) for step in plan.spec.schedule.steps()]
        self._step_draws = [*plan.step_draws.tolist(), len(plan.draw_documents)]
        self._views = (raw, codes)
        self._code_offset = int(codes.offset)

    def write(self, draw: int, skip: int, out: NDArray[np.int64], at: int) -> tuple[int, int]:
        """Write the ids of draws from number ``draw`` on into ``out[at:]``; returns the next draw, and where they end.

        The last special of the ``skip`` ids left out becomes the window's opener.
        """
        step = bisect_right(self._step_draws, draw)
        draw, written, opener = self.assemble(draw, self._step_draws[step], self._limits[step - 1], skip, out[at:])
        if skip:
            out[0] = opener
        return draw, at + written

    def assemble(
        self, first: int, end: int, limit: np.uint64, skip: int, out: NDArray[np.int64]
    ) -> tuple[int, int, int]:
        """Write the ids of draws ``first``, ``first + 1``, … before ``end`` into ``out``: at least of one.

        Parameters
        ----------
        first, end
            Numbers of draws.
        limit
            The :func:`.spans.threshold` of the rate in force.
        skip
            How many ids of the first draw to leave out.
        out
            int64, 1-D.

        Returns
        -------
        The next draw, how many ids were written, and the last special among those left out (eos if there is none).
        A draw is written to its end unless ``out`` is full.

        Raises
        ------
        DatasetError
            If the spans reach beyond the views, or an index points outside its view.
        """
        document = self._documents.item(first)
        raw, codes = (view.units(document, 0, view.length(document)) for view in self._views)
        written, opener = kernels.assemble(
            self._table.of(document), self._stream, first, limit, skip, raw, codes, self._code_offset, out
        )
        if written < 0:
            raise _spans_differ(document)
        return first + 1, written, opener


class FlatSpanWriter(SpanWriter):
    """Writes interleaved draws from flat views, all draws of a window in one call: the calls took most of the time."""

    def __init__(self, table: SpanTable, plan: Plan, raw: FlatViewIds, codes: FlatViewIds) -> None:
        super().__init__(table, plan, raw, codes)
        self._where = (table.flat, raw.flat, codes.flat, self._code_offset, self._documents, self._stream)

    def assemble(
        self, first: int, end: int, limit: np.uint64, skip: int, out: NDArray[np.int64]
    ) -> tuple[int, int, int]:
        """Like :meth:`SpanWriter.assemble`, as many draws as ``out`` holds."""
        draw, written, opener = kernels.assemble_draws(*self._where, first, end, limit, skip, out)
        if written == kernels.OUTSIDE:
            raise outside_file()
        if written < 0:
            raise _spans_differ(self._documents.item(draw))
        return draw, written, opener


def span_writer(table: Spans, plan: Plan, raw: ViewIds, codes: ViewIds) -> SpanWriter:
    """The fastest writer for these views."""
    if isinstance(table, SpanTable) and isinstance(raw, FlatViewIds) and isinstance(codes, FlatViewIds):
        return FlatSpanWriter(table, plan, raw, codes)
    return SpanWriter(table, plan, raw, codes)


def _spans_differ(document: int) -> DatasetError:
    return DatasetError(f"the spans of document {document} do not add up to its views", fix="prepare the views again")
