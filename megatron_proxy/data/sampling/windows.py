"""Windows: the ``seq_length + 1`` ids of one sample, put together from the views.

Window w is an *opener* and then the stretch ``[w S, (w + 1) S)`` of the stream of ids (S = ``seq_length``). The opener
is input only, so every id of the stream is a target exactly once. It tells the model what it reads: the last special id
of the stream before the window, which inside a view is the sentinel that opened it, and eos before a new document. In
the mode ``vanilla`` there is nothing to reopen, and the opener is the id before the window. Only the last window of a
one-epoch plan can run out of ids; it is filled with pads.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ...vocab import BYTE_OFFSET, EOS, PAD, Vocabulary
from ..dataset.reader import AnyView
from .draws import LAYOUTS, Form
from .interleaved import SpanWriter
from .plan import Plan
from .spans import require_spans


class Windows:
    """The samples of a plan.

    If the plan has interleaved draws, the view of ``spans`` is needed; without it, it is a ConfigurationError.
    """

    def __init__(
        self, plan: Plan, raw: AnyView, codes: AnyView, vocabulary: Vocabulary, spans: AnyView | None = None
    ) -> None:
        self.plan = plan
        self._size = plan.spec.seq_length + 1
        self._views = ((raw, np.int64(BYTE_OFFSET)), (codes, np.int64(vocabulary.code_offset)))
        self._writers: dict[int, Callable[..., tuple[int, int]]] = {
            form: partial(self._write, items) for form, items in LAYOUTS.items()
        }
        if plan.spec.schedule.in_spans:
            writer = SpanWriter(plan, raw, codes, require_spans(spans), vocabulary.code_offset)
            self._writers[Form.INTERLEAVED] = writer.write

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, sample: int) -> NDArray[np.int64]:
        """The ids of a sample: int64, shape (seq_length + 1,)."""
        out = np.empty(self._size, dtype=np.int64)
        self.fill(self.plan.shuffle.item(sample), out)
        return out

    def fill(self, window: int, out: NDArray[np.int64]) -> None:
        """Write window number ``window`` of the stream into ``out`` (int64, shape (seq_length + 1,), contiguous)."""
        plan = self.plan
        draw, skip = plan.sample_index.item(window, 0), plan.sample_index.item(window, 1)
        out[0] = EOS
        at = 1
        if skip and plan.draw_forms.item(draw) in (Form.VANILLA_RAW, Form.VANILLA_COMPRESSED):
            # The id before the window is the opener: begin one id earlier.
            at, skip = 0, skip - 1
        while draw < len(plan.draw_documents):
            draw, at = self._writers[plan.draw_forms.item(draw)](draw, skip, out, at)
            if at == self._size:
                return
            skip = 0
        out[at:] = PAD

    def _write(self, items: tuple[int, ...], draw: int, skip: int, out: NDArray[np.int64], at: int) -> tuple[int, int]:
        """Write a draw's ids from ``skip`` on into ``out[at:]``; returns the next draw, and where the ids end.

        The last special skipped becomes the window's opener.
        """
        size = self._size
        document = self.plan.draw_documents.item(draw)
        for item in items:
            if item < 0:
                view, offset = self._views[item]
                length = view.sequence_lengths.item(document)
                if skip >= length:
                    skip -= length
                    continue
                end = min(at + length - skip, size)
                out[at:end] = view.get(document, skip, end - at)
                out[at:end] += offset
                at, skip = end, 0
            elif skip:
                out[0] = item
                skip -= 1
            else:
                out[at] = item
                at += 1
            if at == size:
                break
        return draw + 1, at
