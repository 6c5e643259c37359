"""The loop: read the prompts, then choose and read one byte per row and step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...errors import ConfigurationError
from ...vocab import BYTE_OFFSET, EOS, RAW_OPEN, SYMBOL_OFFSET, raw_ids
from ..network import ByteModel, Cache
from .completion import Completion, Limits, Row
from .sampling import Sampling


def generate(
    model: ByteModel,
    prompts: Sequence[bytes],
    limits: Limits | None = None,
    sampling: Sampling | None = None,
    *,
    sentinels: bool = True,
    use_cache: bool = True,
    first_row: int = 0,
) -> list[Completion]:
    """Complete all prompts; see :func:`stream`."""
    rows = _rows(model, prompts, limits or Limits())
    for _ in _run(rows, sampling or Sampling(), _reader(model, sentinels, use_cache), first_row):
        pass
    return [row.completion() for row in rows]


def stream(
    model: ByteModel,
    prompts: Sequence[bytes],
    limits: Limits | None = None,
    sampling: Sampling | None = None,
    *,
    sentinels: bool = True,
    use_cache: bool = True,
    first_row: int = 0,
) -> Iterator[tuple[int, bytes]]:
    """Complete prompts, piece by piece.

    Parameters
    ----------
    model
        The trained model.
    prompts
        Any bytes; a prompt may end inside a character.
    limits, sampling
        When rows end, and how ids are chosen (by default greedily).
    sentinels
        Whether the model was trained with sentinels (all modes but ``vanilla``).
    use_cache
        Whether keys and values are kept; without, every step reads everything again. The bytes are the same.
    first_row
        What to number the first row, for its random numbers: rows of several calls need not repeat each other.

    Yields
    ------
    (number of the row, the next bytes of it); what comes of a row adds up to its completion.

    Raises
    ------
    ConfigurationError
        A prompt that does not fit the model's context.
    """
    rows = _rows(model, prompts, limits or Limits())
    yield from _run(rows, sampling or Sampling(), _reader(model, sentinels, use_cache), first_row)


def _rows(model: ByteModel, prompts: Sequence[bytes], limits: Limits) -> list[Row]:
    for prompt in prompts:
        # One place is the sentinel's.
        if len(prompt) >= model.architecture.context:
            raise ConfigurationError(
                f"the prompt has {len(prompt):,} bytes; the model's context holds {model.architecture.context - 1:,}",
                where="--prompt",
                fix="shorten it from the left (--truncate-prompt)",
            )
    return [Row(prompt, limits) for prompt in prompts]


def _run(rows: list[Row], sampling: Sampling, reader: _Reader, first_row: int) -> Iterator[tuple[int, bytes]]:
    active = list(range(len(rows)))
    while active:
        logits = reader.read([rows[number] for number in active])
        still = []
        for number, row_logits in zip(active, logits, strict=True):
            _step(rows[number], row_logits, sampling, first_row + number)
            if piece := rows[number].take():
                yield number, piece
            if rows[number].reason is None:
                still.append(number)
        if len(still) < len(active):
            reader.keep([active.index(number) for number in still])
        active = still


def _step(row: Row, logits: NDArray[np.float64], sampling: Sampling, number: int) -> None:
    allowed = row.allowed()
    if allowed.any():
        row.append(sampling.choose(np.where(allowed, logits, -np.inf), number, row.written))
    else:
        row.cut_short()


class _Reader(Protocol):
    """Logits of what follows the rows."""

    def read(self, rows: list[Row]) -> NDArray[np.float64]:
        """float64, shape (rows, 320)."""

    def keep(self, rows: list[int]) -> None:
        """Go on with some of the rows only."""


def _reader(model: ByteModel, sentinels: bool, use_cache: bool) -> _Reader:
    return (_CachedReader if use_cache else _PlainReader)(model, sentinels)


class _PlainReader:
    """Reads everything again at every step."""

    def __init__(self, model: ByteModel, sentinels: bool) -> None:
        self._model = model
        self._sentinels = sentinels

    def read(self, rows: list[Row]) -> NDArray[np.float64]:
        """float64, shape (rows, 320)."""
        context = self._model.architecture.context
        ids, lengths = _padded([_window(row, self._sentinels, context) for row in rows])
        logits = self._model.logits(ids)
        return _numpy(logits[torch.arange(len(rows), device=logits.device), lengths.to(logits.device) - 1])

    def keep(self, rows: list[int]) -> None:
        """Nothing is kept between steps."""


class _CachedReader:
    """Reads only what is new."""

    def __init__(self, model: ByteModel, sentinels: bool) -> None:
        self._model = model
        self._sentinels = sentinels
        self._cache: Cache | None = None

    def read(self, rows: list[Row]) -> NDArray[np.float64]:
        """float64, shape (rows, 320)."""
        context = self._model.architecture.context
        if self._cache is not None and all(_begins_anew(row, context) is False for row in rows):
            last = torch.tensor([[row.text[-1] + BYTE_OFFSET] for row in rows], device=self._model.device)
            return _numpy(self._model.extend(last, self._cache))
        ids, lengths = _padded([_window(row, self._sentinels, context) for row in rows])
        self._cache = self._model.cache(len(rows), context)
        return _numpy(self._model.extend(ids.to(self._model.device), self._cache, lengths.to(self._model.device)))

    def keep(self, rows: list[int]) -> None:
        """Go on with some of the rows only."""
        if self._cache is not None:
            self._cache.keep(torch.tensor(rows, dtype=torch.int64, device=self._model.device))


def _begin(size: int, context: int) -> int:
    """Where in a text of ``size`` bytes the window begins: 0 while it fits, then on a grid of half contexts.

    A pure function of the size, so that reading with and without a cache see the same windows.
    """
    half = max(1, context // 2)
    room = context - 1
    return 0 if size <= room else half * -(-(size - room) // half)


def _begins_anew(row: Row, context: int) -> bool:
    """Whether the window's beginning has just moved."""
    return _begin(len(row.text), context) != _begin(len(row.text) - 1, context)


def _window(row: Row, sentinels: bool, context: int) -> NDArray[np.int64]:
    """The end of a row behind what opens it: ``<raw>``, or without sentinels the id before, as in training."""
    begin = _begin(len(row.text), context)
    before = [EOS] if begin == 0 else raw_ids(bytes(row.text[begin - 1 : begin]))
    return np.concatenate(([RAW_OPEN] if sentinels else before, raw_ids(bytes(row.text[begin:]))))


def _padded(windows: list[NDArray[np.int64]]) -> tuple[Tensor, Tensor]:
    """Windows in one tensor, filled up on the right, and their lengths."""
    lengths = torch.tensor([len(window) for window in windows])
    ids = torch.zeros((len(windows), int(lengths.max())), dtype=torch.int64)
    for row, window in zip(ids, windows, strict=True):
        row[: len(window)] = torch.from_numpy(window)
    return ids, lengths


def _numpy(logits: Tensor) -> NDArray[np.float64]:
    """The logits of specials and bytes; symbols can never be chosen."""
    return logits[:, :SYMBOL_OFFSET].double().cpu().numpy()
