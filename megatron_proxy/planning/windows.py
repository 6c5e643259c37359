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
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..errors import DatasetError
from ..schedule import Mode
from ..vocab import BYTE_OFFSET, EOS, PAD, Vocabulary
from .draws import LAYOUTS, Form, Part
from .plan import Plan
from .spans import SpanTable, SpanWriter, require_spans, threshold


class View(Protocol):
    """One view on disk."""

    @property
    def sequence_lengths(self) -> NDArray[np.int32]:
        """Units (bytes or codes) of each document: int32, shape (documents,)."""

    def get(self, idx: int, offset: int = 0, length: int | None = None, /) -> Any:
        """Units ``offset … offset + length`` of one document: a 1-D integer array."""


@runtime_checkable
class FlatView(View, Protocol):
    """A view whose units are one array, in memory or mapped into it."""

    @property
    def sequence_pointers(self) -> NDArray[np.int64]:
        """Where each document begins, in bytes: int64, shape (documents,)."""

    def stretch(self, begin: int, end: int) -> NDArray[Any]:
        """All units of the documents ``begin … end - 1``."""


class _Source:
    """One view, and how its units become ids."""

    def __init__(self, view: View, offset: int) -> None:
        self._get = view.get
        # ndarray.item is the quickest way to one number.
        self.length = view.sequence_lengths.item
        self._offset = np.int64(offset)

    def units(self, document: int, skip: int, count: int) -> NDArray[Any]:
        """Some units of a document."""
        units: NDArray[Any] = self._get(document, skip, count)
        return units

    def read(self, document: int, skip: int, out: NDArray[np.int64]) -> None:
        """The ids of a document from ``skip`` on, as many as fill ``out``."""
        out[:] = self.units(document, skip, len(out))
        out += self._offset


class _FlatSource(_Source):
    """Reads a :class:`FlatView` several times faster than ``get``, which looks each document up."""

    def __init__(self, view: FlatView, offset: int) -> None:
        super().__init__(view, offset)
        self._units = view.stretch(0, len(view.sequence_lengths))
        self._pointer = view.sequence_pointers.item
        self._itemsize = self._units.itemsize

    def units(self, document: int, skip: int, count: int) -> NDArray[Any]:
        """Some units of a document."""
        begin = self._pointer(document) // self._itemsize + skip
        units = self._units[begin : begin + count]
        if begin < 0 or len(units) != count:
            raise DatasetError("the index of a view points outside its .bin file", fix="prepare the views again")
        return units


def _source(view: View, offset: int) -> _Source:
    return _FlatSource(view, offset) if isinstance(view, FlatView) else _Source(view, offset)


# Specials as they are, views as the negative index of their source: what is quick to tell apart in the loop.
_VIEW_ITEMS: Final = {Part.RAW: -2, Part.COMPRESSED: -1}
_ITEMS: Final = [
    tuple(_VIEW_ITEMS[item] if isinstance(item, Part) else item for item in LAYOUTS.get(form, ())) for form in Form
]
_INTERLEAVED: Final = int(Form.INTERLEAVED)


class Windows:
    """The samples of a plan.

    Parameters
    ----------
    plan
        What is where.
    raw, codes
        The two views; a :class:`FlatView` is read the fastest way.
    vocabulary
        How codes become ids.
    spans
        The span table, if the plan has interleaved draws.

    Raises
    ------
    ConfigurationError
        If the plan has interleaved draws and there is no span table.
    """

    def __init__(
        self, plan: Plan, raw: View, codes: View, vocabulary: Vocabulary, spans: SpanTable | None = None
    ) -> None:
        self.plan = plan
        self._size = plan.spec.seq_length + 1
        self._sources = (_source(raw, BYTE_OFFSET), _source(codes, vocabulary.code_offset))
        if Mode.INTERLEAVED in plan.spec.schedule.modes:
            self._spans = SpanWriter(require_spans(spans), plan.spec.seed, vocabulary.code_offset)
            self._limits = [threshold(step.rate) for step in plan.spec.schedule.steps()]
            self._step_draws = plan.step_draws.tolist()

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
        for number in range(draw, len(plan.draw_documents)):
            form, document = plan.draw_forms.item(number), plan.draw_documents.item(number)
            if form == _INTERLEAVED:
                at = self._write_spans(number, document, skip, out, at)
            else:
                at = self._write(_ITEMS[form], document, skip, out, at)
            if at == self._size:
                return
            skip = 0
        out[at:] = PAD

    def _write(self, items: tuple[int, ...], document: int, skip: int, out: NDArray[np.int64], at: int) -> int:
        """Write a draw's ids from ``skip`` on into ``out[at:]``; returns where they end.

        The last special skipped becomes the window's opener.
        """
        size = self._size
        for item in items:
            if item < 0:
                source = self._sources[item]
                length = source.length(document)
                if skip >= length:
                    skip -= length
                    continue
                end = min(at + length - skip, size)
                source.read(document, skip, out[at:end])
                at, skip = end, 0
            elif skip:
                out[0] = item
                skip -= 1
            else:
                out[at] = item
                at += 1
            if at == size:
                break
        return at

    def _write_spans(self, draw: int, document: int, skip: int, out: NDArray[np.int64], at: int) -> int:
        """Like :meth:`_write`, for an interleaved draw."""
        limit = self._limits[bisect_right(self._step_draws, draw) - 1]
        raw, codes = (source.units(document, 0, source.length(document)) for source in self._sources)
        written, opener = self._spans.write(draw, document, limit, raw, codes, skip, out[at:])
        if skip:
            out[0] = opener
        return at + written
