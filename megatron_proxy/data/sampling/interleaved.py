"""Writing the ids of interleaved draws (see :mod:`.spans`)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...common import rng
from ...common.rng import Purpose
from ...errors import DatasetError
from .sources import FlatSource, Source, outside_file
from .spans import Spans, SpanTable


class SpanWriter:
    """Writes interleaved draws from any views, a draw at a time.

    Parameters
    ----------
    table
        The spans of all documents.
    seed
        The run's seed.
    documents
        int32, shape (draws,): the document of each draw.
    raw, codes
        The two views.
    """

    def __init__(self, table: Spans, seed: int, documents: NDArray[np.int32], raw: Source, codes: Source) -> None:
        self._table = table
        self._stream = rng.key(seed, Purpose.SPAN_FORMAT)
        self._documents = documents
        self._sources = (raw, codes)
        self._code_offset = int(codes.offset)

    def write(self, first: int, end: int, limit: np.uint64, skip: int, out: NDArray[np.int64]) -> tuple[int, int, int]:
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
        from . import kernels

        document = self._documents.item(first)
        raw, codes = (source.units(document, 0, source.length(document)) for source in self._sources)
        written, opener = kernels.assemble(
            self._table.of(document), self._stream, first, limit, skip, raw, codes, self._code_offset, out
        )
        if written < 0:
            raise _spans_differ(document)
        return first + 1, written, opener


class FlatSpanWriter(SpanWriter):
    """Writes interleaved draws from flat views, all draws of a window in one call: the calls took most of the time."""

    def __init__(
        self, table: SpanTable, seed: int, documents: NDArray[np.int32], raw: FlatSource, codes: FlatSource
    ) -> None:
        from . import kernels

        super().__init__(table, seed, documents, raw, codes)
        self._assemble_draws = kernels.assemble_draws
        self._outside = kernels.OUTSIDE
        self._where = (table.flat, raw.flat, codes.flat, self._code_offset, documents, self._stream)

    def write(self, first: int, end: int, limit: np.uint64, skip: int, out: NDArray[np.int64]) -> tuple[int, int, int]:
        """Like :meth:`SpanWriter.write`, as many draws as ``out`` holds."""
        draw, written, opener = self._assemble_draws(*self._where, first, end, limit, skip, out)
        if written == self._outside:
            raise outside_file()
        if written < 0:
            raise _spans_differ(self._documents.item(draw))
        return draw, written, opener


def span_writer(table: Spans, seed: int, documents: NDArray[np.int32], raw: Source, codes: Source) -> SpanWriter:
    """The fastest writer for these views."""
    if isinstance(table, SpanTable) and isinstance(raw, FlatSource) and isinstance(codes, FlatSource):
        return FlatSpanWriter(table, seed, documents, raw, codes)
    return SpanWriter(table, seed, documents, raw, codes)


def _spans_differ(document: int) -> DatasetError:
    return DatasetError(f"the spans of document {document} do not add up to its views", fix="prepare the views again")
