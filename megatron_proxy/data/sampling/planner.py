"""The work of planning: draws in chunks, cut into windows, in blocks of samples (see :mod:`.plan`).

Step by step through the schedule; inside a step all draws of a chunk are computed at once. A draw belongs to the step
in which its first id lies, so a chunk that runs over the end of its step is cut there and the rest drawn anew. Chunks
are bounded in draws and in windows, since a long document makes many: so memory does not grow with the run, and grows
by 4 bytes with each document.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ...common import rng
from ...common.rng import Purpose
from ...errors import DatasetError
from . import draws
from .draws import DocumentOrder
from .layouts import Drawn, layout_of
from .plan import DocumentSizes, Parts, Plan, PlanSpec, collect
from .schedule import Mix

CHUNK: Final = 1 << 18
_ENDLESS: Final = 2**62


class Shuffler:
    """Permutes windows inside blocks, and adds up their source bytes in the order of samples."""

    def __init__(self, seed: int, block: int) -> None:
        self._order = rng.key(seed, Purpose.WINDOW_ORDER)
        self._block = block
        self._first_block = 0
        # Source bytes before each window that is not in a finished block, and before the end of the last of them.
        self._before = np.empty((0, 2), dtype=np.int64)
        self._total = np.zeros((1, 2), dtype=np.int64)

    def push(self, before: NDArray[np.int64]) -> Parts:
        """Take the source bytes before the next windows (int64, shape (n, 2)); gives the blocks they complete."""
        self._before = np.concatenate([self._before, before])
        return self._blocks(max(len(self._before) - 1, 0) // self._block, self._block)

    def finish(self) -> Parts:
        """The last block, which may be smaller."""
        rest = len(self._before) - 1
        return self._blocks(int(rest > 0), rest)

    def _blocks(self, blocks: int, size: int) -> Parts:
        numbers = np.arange(self._first_block, self._first_block + blocks)
        orders = rng.permutations(rng.subkeys(self._order, numbers), size)
        windows = np.diff(self._before[: blocks * size + 1], axis=0).reshape(blocks, size, 2)
        in_order = np.take_along_axis(windows, orders[:, :, None], axis=1).reshape(-1, 2)
        totals = self._total + np.cumsum(in_order, axis=0)
        self._total = totals[-1:] if blocks else self._total
        self._before = self._before[blocks * size :]
        self._first_block += blocks
        return {"shuffle": (orders + numbers[:, None] * self._block).ravel(), "source_bytes": totals}


class Planner:
    """One pass over the stream. Use :func:`plan_parts`."""

    def __init__(self, spec: PlanSpec, sizes: DocumentSizes, chunk: int) -> None:
        self._spec = spec
        self._chunk = chunk
        self._order = DocumentOrder(spec.seed, spec.documents)
        self._layouts = {mode: layout_of(mode, sizes, spec.seed) for mode in spec.schedule.modes}
        self._shuffler = Shuffler(spec.seed, spec.shuffle_block)
        self._end = _ENDLESS if spec.num_windows is None else spec.num_windows * spec.seq_length
        self._draws_end = len(spec.documents) if spec.num_windows is None else _ENDLESS
        self._draw = 0
        self._position = 0
        self._window = 0
        self._source = np.zeros((1, 2), dtype=np.int64)

    def parts(self) -> Iterator[Parts]:
        """All rows of all arrays, each array's in order."""
        yield {"source_bytes": self._source}
        step_draws = []
        horizon = self._spec.horizon_samples * self._spec.seq_length
        for step in self._spec.schedule.steps():
            step_draws.append(self._draw)
            limit = self._end if math.isinf(step.end) else min(self._end, math.ceil(step.end * horizon))
            while self._position < limit and self._draw < self._draws_end:
                yield from self._advance(limit, Mix(step.rate, step.mode))
        yield from self._finish()
        yield {"step_draws": np.array(step_draws, dtype=np.int64)}

    def _advance(self, limit: int, mix: Mix) -> Iterator[Parts]:
        """One chunk of draws that begin before ``limit``."""
        limit = min(limit, self._position + self._chunk * self._spec.seq_length)
        drawn = self._drawn(self._count(limit), mix)
        begins = self._position + np.cumsum(drawn.lengths) - drawn.lengths
        kept = int(np.searchsorted(begins, limit))
        drawn, begins = drawn.rows(slice(0, kept)), begins[:kept]
        position = int(begins[-1] + drawn.lengths[-1])
        source = self._source + np.cumsum(drawn.source, axis=0)
        yield {"draw_documents": drawn.documents, "draw_forms": drawn.forms}
        yield from self._cut(drawn, begins, min(position, self._end + 1), source - drawn.source, mix)
        self._draw += kept
        self._position = position
        self._source = source[-1:]

    def _drawn(self, count: int, mix: Mix) -> Drawn:
        """The next draws under one mix: at least one, at most ``count``."""
        documents = self._order.take(self._draw, count)
        numbers = np.arange(self._draw, self._draw + len(documents))
        forms = draws.draw_forms(self._spec.seed, numbers, mix)
        return self._layouts[mix.mode].measure(numbers, documents, forms, mix.rate)

    def _count(self, limit: int) -> int:
        """How many draws are worth computing: those before ``limit``, going by their mean length so far."""
        mean = max(self._position // self._draw, 1) if self._draw else self._spec.seq_length
        expected = (limit - self._position) // mean
        return min(self._chunk, expected + expected // 16 + 64, self._draws_end - self._draw)

    def _cut(
        self, drawn: Drawn, begins: NDArray[np.int64], end: int, before: NDArray[np.int64], mix: Mix
    ) -> Iterator[Parts]:
        """The windows that begin inside these draws, before the position ``end``."""
        length = self._spec.seq_length
        cuts = np.arange(self._window * length, end, length)
        self._window += len(cuts)
        which = np.searchsorted(begins, cuts, side="right") - 1
        offsets = cuts - begins[which]
        inside = self._layouts[mix.mode].source_bytes_before(drawn.rows(which), offsets, mix.rate)
        seen = before[which] + inside
        yield {"sample_index": np.stack([drawn.numbers[which], offsets], axis=1), **self._shuffler.push(seen)}

    def _finish(self) -> Iterator[Parts]:
        """The end of the last window, where no draw has begun, and the last block."""
        length = self._spec.seq_length
        next_cut = self._window * length
        padded = self._spec.num_windows is None and self._spec.keep_partial
        if next_cut <= self._end and (next_cut == self._position or padded):
            yield {
                "sample_index": np.array([[self._draw, 0]], dtype=np.int64),
                **self._shuffler.push(self._source),
            }
            self._window += 1
        if self._window < 2:
            raise DatasetError(
                f"the {len(self._spec.documents):,} documents of this split make {self._position:,} ids, "
                f"less than one sample of {length:,}",
                where="--split, --seq-length",
                fix="give the split a larger share, shorten the sequences, or use a larger corpus",
            )
        yield self._shuffler.finish()


def epoch_windows(spec: PlanSpec, sizes: DocumentSizes) -> int:
    """The windows that one epoch fills, where the schedule gives every document the same form, as validation does.

    Nothing is planned for this: it takes the time of adding up the documents' sizes.
    """
    documents = slice(spec.documents.start, spec.documents.stop)
    raw, codes = (lengths[documents].astype(np.int64) for lengths in (sizes.raw, sizes.codes))
    form = draws.draw_forms(spec.seed, np.zeros(1, dtype=np.int64), spec.schedule.at(0.0))
    return int(draws.form_lengths(form, raw, codes).sum()) // spec.seq_length


def build(spec: PlanSpec, sizes: DocumentSizes) -> Plan:
    """Plan in memory; raises as :func:`plan_parts` does."""
    return Plan(spec, **collect(plan_parts(spec, sizes)))


def plan_parts(spec: PlanSpec, sizes: DocumentSizes, chunk: int = CHUNK) -> Iterator[Parts]:
    """Plan, chunk by chunk: yields the next rows of some arrays of :class:`.plan.Plan`, by name.

    Parameters
    ----------
    spec, sizes
        What determines the plan.
    chunk
        The most draws computed at once, and the most windows but for those of the last draw; leaves no trace in the
        plan.

    Raises
    ------
    ConfigurationError
        If the schedule has the mode ``interleaved`` and the sizes no spans.
    DatasetError
        If the documents do not fill one window, or their sizes contradict each other.
    """
    if spec.documents.stop > len(sizes.raw):
        raise DatasetError(f"documents {spec.documents} are not in the views, which have {len(sizes.raw):,}")
    return Planner(spec, sizes, chunk).parts()
