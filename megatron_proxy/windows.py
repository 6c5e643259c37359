"""Windows: the ``seq_length + 1`` ids of one sample, put together from the views.

Window w is an *opener* and then the stretch ``[w S, (w + 1) S)`` of the stream of ids (S = ``seq_length``). The opener
is input only, so every id of the stream is a target exactly once. It tells the model what it reads: the last special id
of the stream before the window, which inside a view is the sentinel that opened it, and eos before a new document. In
the mode ``vanilla`` there is nothing to reopen, and the opener is the id before the window. Only the last window of a
one-epoch plan can run out of ids; it is filled with pads.

Of the views only ``sequence_lengths`` and ``get(document, offset, length)`` are used, so Megatron's IndexedDataset will
do as well as :class:`megatron_proxy.views.ViewReader`.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .draws import LAYOUTS, Form, Part
from .plan import Plan
from .schedule import Mode
from .spans import SpanTable, SpanWriter, require_spans, threshold
from .vocab import BYTE_OFFSET, EOS, PAD, Vocabulary


class View(Protocol):
    """One view on disk."""

    @property
    def sequence_lengths(self) -> NDArray[np.int32]:
        """Units (bytes or codes) of each document: int32, shape (documents,)."""

    def get(self, idx: int, offset: int = 0, length: int | None = None, /) -> Any:
        """Units ``offset … offset + length`` of one document: a 1-D integer array."""


class Windows:
    """The samples of a plan.

    Parameters
    ----------
    plan
        What is where.
    raw, codes
        The two views.
    vocabulary
        How codes become ids.
    spans
        The span table, if the plan has interleaved draws.
    """

    def __init__(
        self, plan: Plan, raw: View, codes: View, vocabulary: Vocabulary, spans: SpanTable | None = None
    ) -> None:
        self._plan = plan
        self._size = plan.spec.seq_length + 1
        self._index = plan.sample_index
        sources = {
            Part.RAW: (raw.sequence_lengths, raw.get, np.int64(BYTE_OFFSET)),
            Part.COMPRESSED: (codes.sequence_lengths, codes.get, np.int64(vocabulary.code_offset)),
        }
        # By form: ids as integers, views as (lengths, get, what to add to a unit to get its id).
        self._layouts = [
            tuple(item if isinstance(item, int) else sources[item] for item in LAYOUTS.get(form, ())) for form in Form
        ]
        if Mode.INTERLEAVED in plan.spec.schedule.modes:
            self._spans = SpanWriter(require_spans(spans), plan.spec.seed, raw.get, codes.get, vocabulary.code_offset)
            self._limits = [threshold(step.rate) for step in plan.spec.schedule.steps()]
            self._step_draws = plan.step_draws.tolist()

    def __len__(self) -> int:
        return len(self._plan)

    def __getitem__(self, sample: int) -> NDArray[np.int64]:
        """The ids of a sample: int64, shape (seq_length + 1,)."""
        out = np.empty(self._size, dtype=np.int64)
        self.fill(int(self._plan.shuffle[sample]), out)
        return out

    def fill(self, window: int, out: NDArray[np.int64]) -> None:
        """Write window number ``window`` of the stream into ``out`` (int64, shape (seq_length + 1,), contiguous)."""
        draw, offset, last, _ = self._index[window : window + 2].ravel().tolist()
        documents = self._plan.draw_documents[draw : last + 1].tolist()
        forms = self._plan.draw_forms[draw : last + 1].tolist()
        out[0] = EOS
        at = 1
        if offset and not Form(forms[0]).sentinels:
            # The id before the window is the opener: begin one id earlier.
            at, offset = 0, offset - 1
        for document, form in zip(documents, forms, strict=True):
            if form == Form.INTERLEAVED:
                at = self._write_spans(draw, document, offset, out, at)
            else:
                at = _write(self._layouts[form], document, offset, out, at)
            if at == self._size:
                return
            draw, offset = draw + 1, 0
        out[at:] = PAD

    def _write_spans(self, draw: int, document: int, skip: int, out: NDArray[np.int64], at: int) -> int:
        """Like :func:`_write`, for an interleaved draw."""
        limit = self._limits[bisect_right(self._step_draws, draw) - 1]
        written, opener = self._spans.write(draw, document, limit, skip, out[at:])
        if skip:
            out[0] = opener
        return at + written


def _write(layout: tuple[Any, ...], document: int, skip: int, out: NDArray[np.int64], at: int) -> int:
    """Write a draw's ids from ``skip`` on into ``out[at:]``; returns where they end.

    The last special skipped becomes the window's opener.
    """
    end = len(out)
    for item in layout:
        if at == end:
            break
        if isinstance(item, int):
            if skip:
                out[0] = item
                skip -= 1
            else:
                out[at] = item
                at += 1
            continue
        lengths, get, to_id = item
        length = int(lengths[document]) - skip
        if length <= 0:
            skip = -length
            continue
        count = min(length, end - at)
        np.add(get(document, skip, count), to_id, out=out[at : at + count])
        at, skip = at + count, 0
    return at
