"""What a model says of the bytes that follow rows: with or without the cache, and of one row by its text alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ...vocab import EOS, RAW_OPEN, SYMBOL_OFFSET, decode, is_byte, raw_ids
from ..network import ByteModel, Cache
from .completion import Row

_UNITS: Final = 256.0
_EXACT: Final = (torch.float64, torch.float32)
_SURE: Final = 0.5
"""How probable what is guessed ahead has to be: less is wrong too often."""


class Reader:
    """Logits of what follows the rows of one call.

    With a cache only what is new is read; without one, everything again at every pass.
    """

    def __init__(self, model: ByteModel, sentinels: bool, use_cache: bool) -> None:
        self._model = model
        self._sentinels = sentinels
        self._use_cache = use_cache
        self._cache: Cache | None = None

    def read(self, rows: Sequence[Row], drafts: Sequence[bytes]) -> list[NDArray[np.float64]]:
        """Of each row float64, shape (1 + bytes of its draft, 320): after its text, and after each byte of its draft.

        Drafts must fit into the windows of all rows: :func:`room`.
        """
        context = self._model.architecture.context
        if self._cache is None or any(_begins_anew(row, context) for row in rows):
            windows = [_window(row, self._sentinels, context, draft) for row, draft in zip(rows, drafts, strict=True)]
            self._cache = self._model.cache(len(rows), context) if self._use_cache else None
        else:
            windows = [raw_ids(bytes(row.text[-1:]) + draft) for row, draft in zip(rows, drafts, strict=True)]
            self._forget(self._cache, rows)
        ids, lengths = (tensor.to(self._model.device) for tensor in _padded(windows))
        return _of_rows(self._model.extend(ids, self._cache, lengths, 1 + max(map(len, drafts))), drafts)

    def look_ahead(self, rows: Sequence[Row], most: Sequence[int]) -> list[bytes]:
        """Of each row at most so many bytes that may follow, by the model's layer that looks ahead.

        Nothing without a cache, which holds the outputs that it goes on from, and where a window begins anew.
        """
        context = self._model.architecture.context
        cache = self._cache
        if cache is None or cache.ahead is None or not any(most) or any(_begins_anew(row, context) for row in rows):
            return [b""] * len(rows)
        self._forget(cache, rows)
        new = (cache.lengths - cache.ahead.lengths).tolist()
        after = [raw_ids(bytes(row.text[-size:])) for row, size in zip(rows, new, strict=True)]
        ids, lengths = (tensor.to(self._model.device) for tensor in _padded(after))
        guessed, probable = (found.cpu().numpy() for found in self._model.ahead(ids, cache, lengths, max(most), _SURE))
        usable = is_byte(guessed) & (probable >= _SURE)
        # The bytes that the guesses begin with, at most so many, up to the first that is not usable.
        sizes = (int(row[:size].cumprod().sum()) for row, size in zip(usable, most, strict=True))
        return [decode(row[:size]) for row, size in zip(guessed, sizes, strict=True)]

    def _forget(self, cache: Cache, rows: Sequence[Row]) -> None:
        """Forget what was read of earlier drafts and not kept: all of a row but its last byte has been read."""
        read = [_length(len(row.text), self._model.architecture.context) - 1 for row in rows]
        cache.rewind(torch.tensor(read, device=self._model.device))

    def keep(self, rows: list[int]) -> None:
        """Go on with some of the rows only."""
        if self._cache is not None:
            self._cache.keep(torch.tensor(rows, dtype=torch.int64, device=self._model.device))


def alone(model: ByteModel, row: Row, sentinels: bool) -> NDArray[np.float64]:
    """The logits after a row, float64, shape (1, 320): of its text alone, whatever was read before or beside it."""
    window = torch.from_numpy(_window(row, sentinels, model.architecture.context))
    return _of_rows(model.extend(window[None].to(model.device), None), [b""])[0]


def slack(logits: NDArray[np.float64], dtype: torch.dtype) -> float:
    """By how much the difference of two logits may be off, computed in a dtype in one batch and pass or another.

    Rounding adds up differently where matrices have other shapes: in float32 by some tens of units of the last place of
    the largest logit, and 256 are allowed for (``tests/model/generation/test_firmness.py``), which leaves few choices
    in doubt. In half precision too many would be: there it is 0, and choices are taken as they come.
    """
    units = _UNITS if dtype in _EXACT else 0.0
    return units * torch.finfo(dtype).eps * max(1.0, float(np.abs(logits).max()))


def room(rows: Sequence[Row], context: int) -> int:
    """How many more bytes fit into the windows of all rows."""
    return min(context - _length(len(row.text), context) for row in rows)


def _begin(size: int, context: int) -> int:
    """Where in a text of ``size`` bytes the window begins: 0 while it fits, then on a grid of half contexts.

    A pure function of the size, so that reading with and without a cache see the same windows.
    """
    half = max(1, context // 2)
    room = context - 1
    return 0 if size <= room else half * -(-(size - room) // half)


def _length(size: int, context: int) -> int:
    """Ids in the window of a text of ``size`` bytes."""
    return 1 + size - _begin(size, context)


def _begins_anew(row: Row, context: int) -> bool:
    """Whether the window's beginning has just moved."""
    return _begin(len(row.text), context) != _begin(len(row.text) - 1, context)


def _window(row: Row, sentinels: bool, context: int, draft: bytes = b"") -> NDArray[np.int64]:
    """The end of a row behind what opens it: ``<raw>``, or without sentinels the id before, as in training."""
    begin = _begin(len(row.text), context)
    before = [EOS] if begin == 0 else raw_ids(bytes(row.text[begin - 1 : begin]))
    return np.concatenate(([RAW_OPEN] if sentinels else before, raw_ids(bytes(row.text[begin:]) + draft)))


def _padded(windows: list[NDArray[np.int64]]) -> tuple[Tensor, Tensor]:
    """Windows in one tensor, filled up on the right, and their lengths."""
    ids = pad_sequence([torch.from_numpy(window) for window in windows], batch_first=True)
    return ids, torch.tensor([len(window) for window in windows])


def _of_rows(logits: Tensor, drafts: Sequence[bytes]) -> list[NDArray[np.float64]]:
    """Each row's own, the last ones, of specials and bytes: symbols can never be chosen."""
    choosable = logits[..., :SYMBOL_OFFSET].double().cpu().numpy()
    return [row[len(row) - 1 - len(draft) :] for row, draft in zip(choosable, drafts, strict=True)]
