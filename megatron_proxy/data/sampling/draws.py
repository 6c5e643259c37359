"""Draws: which document appears next, and in which form.

A draw is one appearance of one document. Draw *k* is a pure function of (seed, k, mix in force), so it needs no
draw before it, and the same numbers come out whatever the workers, ranks, restarts and chunk sizes:

* *Document*: position ``k`` of the epochs laid end to end; epoch e is a random order of all documents, keyed by
  (seed, ``DOCUMENT_ORDER``, e).
* *Form*: from one uniform number at counter k of (seed, ``DRAW_FORMAT``), against the calibration of the paper
  (arXiv 2602.04289, see :func:`draw_forms`); pairs in random order look at counter k of (seed, ``PAIR_ORDER``).

======================  =========================================================================
form                    ids (``R``: the bytes, ``C``: the codes of the document)
======================  =========================================================================
``RAW``                 ``<raw> R </raw> eos``
``COMPRESSED``          ``<compressed> C </compressed> eos``
``RAW_COMPRESSED``      ``<raw> R </raw> <compressed> C </compressed> eos`` (a translation pair)
``COMPRESSED_RAW``      the same, the other way round
``PARALLEL_RC``         ``<raw> R </raw> eos <compressed> C </compressed> eos`` (a parallel pair)
``PARALLEL_CR``         the same, the other way round
``VANILLA_RAW``         ``R eos``
``VANILLA_COMPRESSED``  ``C eos``
``INTERLEAVED``         runs of spans, each run in its sentinels, then ``eos``: see :mod:`.spans`
======================  =========================================================================

An empty document keeps its sentinels: ``<raw> </raw> eos``. So every form has at least one id.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ...common import rng
from ...common.rng import Purpose
from ...vocab import COMPRESSED_CLOSE, COMPRESSED_OPEN, EOS, RAW_CLOSE, RAW_OPEN
from .schedule import Mix, Mode


class Form(IntEnum):
    """How a draw looks; the values are what plans store (uint8)."""

    RAW = 0
    COMPRESSED = 1
    RAW_COMPRESSED = 2
    COMPRESSED_RAW = 3
    PARALLEL_RC = 4
    PARALLEL_CR = 5
    VANILLA_RAW = 6
    VANILLA_COMPRESSED = 7
    INTERLEAVED = 8


# Where a view of the document goes, as its index in the pair of them; specials are not negative.
_RAW_VIEW: Final = -2
_CODE_VIEW: Final = -1
_RAW: Final = (RAW_OPEN, _RAW_VIEW, RAW_CLOSE)
_COMPRESSED: Final = (COMPRESSED_OPEN, _CODE_VIEW, COMPRESSED_CLOSE)

LAYOUTS: Final[dict[Form, tuple[int, ...]]] = {
    Form.RAW: (*_RAW, EOS),
    Form.COMPRESSED: (*_COMPRESSED, EOS),
    Form.RAW_COMPRESSED: (*_RAW, *_COMPRESSED, EOS),
    Form.COMPRESSED_RAW: (*_COMPRESSED, *_RAW, EOS),
    Form.PARALLEL_RC: (*_RAW, EOS, *_COMPRESSED, EOS),
    Form.PARALLEL_CR: (*_COMPRESSED, EOS, *_RAW, EOS),
    Form.VANILLA_RAW: (_RAW_VIEW, EOS),
    Form.VANILLA_COMPRESSED: (_CODE_VIEW, EOS),
}
"""The ids of each form but ``INTERLEAVED``, with -2 in the place of the raw view and -1 in that of the codes."""

_SINGLES: Final = {
    Mode.VANILLA: (Form.VANILLA_RAW, Form.VANILLA_COMPRESSED),
    Mode.SENTINEL: (Form.RAW, Form.COMPRESSED),
    Mode.INTERLEAVED: (Form.INTERLEAVED, Form.INTERLEAVED),
}
_PAIRS: Final = {
    Mode.TRANSLATION_RAW_COMPRESSED: (Form.RAW_COMPRESSED, Form.RAW_COMPRESSED),
    Mode.TRANSLATION_COMPRESSED_RAW: (Form.COMPRESSED_RAW, Form.COMPRESSED_RAW),
    Mode.TRANSLATION_RANDOM: (Form.RAW_COMPRESSED, Form.COMPRESSED_RAW),
    Mode.PARALLEL_RAW_COMPRESSED: (Form.PARALLEL_RC, Form.PARALLEL_RC),
    Mode.PARALLEL_COMPRESSED_RAW: (Form.PARALLEL_CR, Form.PARALLEL_CR),
    Mode.PARALLEL_RANDOM: (Form.PARALLEL_RC, Form.PARALLEL_CR),
}


def draw_forms(seed: int, draws: NDArray[np.int64], mix: Mix) -> NDArray[np.uint8]:
    """The forms of some draws (int64, shape (n,): their numbers) under one mix: :class:`Form`, as uint8.

    With rate r, u uniform in [0, 1):

    * ``vanilla`` and ``sentinel``: compressed if u < r, else raw.
    * Pairing modes keep the ratio of compressed to raw *segments* at r : (1 - r). For r > 1/2 a document is compressed
      only if u < 2 - 1/r, else a pair; for r <= 1/2 it is a pair if u < r / (1 - r), else raw only.
    * ``interleaved``: all alike; the rate falls on spans.
    """
    rate, mode = mix
    chance = rng.uniform(rng.key(seed, Purpose.DRAW_FORMAT), draws)
    if mode in _SINGLES:
        raw, compressed = _SINGLES[mode]
        return np.where(chance < rate, np.uint8(compressed), np.uint8(raw))
    first, second = _PAIRS[mode]
    order = rng.uniform(rng.key(seed, Purpose.PAIR_ORDER), draws)
    pairs = np.where(order < 0.5, np.uint8(first), np.uint8(second))
    if rate > 0.5:
        return np.where(chance < 2.0 - 1.0 / rate, np.uint8(Form.COMPRESSED), pairs)
    return np.where(chance < rate / (1.0 - rate), pairs, np.uint8(Form.RAW))


def _table(of_layout: dict[Form, int]) -> NDArray[np.int64]:
    return np.array([of_layout.get(form, 0) for form in Form], dtype=np.int64)


def _uses(view: int) -> NDArray[np.int64]:
    return _table({form: int(view in layout) for form, layout in LAYOUTS.items()})


def _before(view: int, *, views: bool) -> NDArray[np.int64]:
    """How many specials, or other views, stand before a view, by form (0 where the form lacks it)."""
    found = {form: layout[: layout.index(view)] for form, layout in LAYOUTS.items() if view in layout}
    return _table({form: sum((item < 0) == views for item in items) for form, items in found.items()})


_SPECIALS: Final = _table({form: sum(item >= 0 for item in layout) for form, layout in LAYOUTS.items()})
_USES_RAW: Final = _uses(_RAW_VIEW)
_USES_CODES: Final = _uses(_CODE_VIEW)
_BEFORE_RAW: Final = _before(_RAW_VIEW, views=False)
_BEFORE_CODES: Final = _before(_CODE_VIEW, views=False)
_RAW_SECOND: Final = _before(_RAW_VIEW, views=True)
_CODES_SECOND: Final = _before(_CODE_VIEW, views=True)


def form_lengths(forms: NDArray[np.uint8], raw: NDArray[np.int64], codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Ids of each draw, sentinels and eos included, at least 1; of every form but ``INTERLEAVED``.

    Of the draws' forms (uint8), and the bytes and codes of their documents (int64): all of shape (n,), as the result.
    """
    lengths: NDArray[np.int64] = _SPECIALS[forms] + raw * _USES_RAW[forms] + codes * _USES_CODES[forms]
    return lengths


def form_source_bytes(forms: NDArray[np.uint8], raw: NDArray[np.int64]) -> NDArray[np.int64]:
    """Source bytes that each draw gives in the raw and in the compressed view: int64, shape (n, 2)."""
    return np.stack([raw * _USES_RAW[forms], raw * _USES_CODES[forms]], axis=1)


def source_bytes_before(
    forms: NDArray[np.uint8], raw: NDArray[np.int64], codes: NDArray[np.int64], offsets: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Source bytes of each view that stand before an offset inside a draw; of every form but ``INTERLEAVED``.

    In the compressed view a document's bytes are spread evenly over its codes and rounded down, so that the sum over
    a whole document is exact.

    Returns
    -------
    int64, shape (n, 2): bytes in the raw view, source bytes in the compressed view.
    """
    raw_begin = _BEFORE_RAW[forms] + codes * _RAW_SECOND[forms]
    codes_begin = _BEFORE_CODES[forms] + raw * _CODES_SECOND[forms]
    raw_seen = np.clip(offsets - raw_begin, 0, raw) * _USES_RAW[forms]
    codes_seen = np.clip(offsets - codes_begin, 0, codes) * _USES_CODES[forms]
    return np.stack([raw_seen, codes_seen * raw // np.maximum(codes, 1)], axis=1)


class DocumentOrder:
    """The documents of all draws: epochs of random order, laid end to end, of a range of documents with step 1.

    Holds one stretch of whole epochs at a time, so memory is 4 bytes per document.
    """

    _STRETCH: Final = 1 << 16

    def __init__(self, seed: int, documents: range) -> None:
        self._epochs = rng.key(seed, Purpose.DOCUMENT_ORDER)
        self._documents = documents
        self._per_stretch = max(1, self._STRETCH // len(documents))
        self._first = 0
        self._stretch = np.empty(0, dtype=np.int32)

    def take(self, first: int, count: int) -> NDArray[np.int32]:
        """The documents of draws ``first``, ``first + 1``, …: int32; at least one and at most ``count`` of them."""
        if not 0 <= first - self._first < len(self._stretch):
            self._load(first // (len(self._documents) * self._per_stretch))
        begin = first - self._first
        return self._stretch[begin : begin + count]

    def _load(self, stretch: int) -> None:
        size = len(self._documents)
        self._first = stretch * self._per_stretch * size
        # The stretch in use must not lie beside the next one: at 50 million documents each has 200 MB.
        del self._stretch
        streams = rng.subkeys(self._epochs, np.arange(stretch * self._per_stretch, (stretch + 1) * self._per_stretch))
        # Row by row the same orders: permutation() saves memory where there are many documents, permutations() time.
        order = rng.permutation(streams[0], size) if len(streams) == 1 else rng.permutations(streams, size).ravel()
        self._stretch = order.astype(np.int32, copy=False)
        self._stretch += np.int32(self._documents.start)
