"""The loop: read the prompts, then choose and read one byte or more per row and pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...errors import ConfigurationError
from ...vocab import BYTE_OFFSET
from ..network import ByteModel
from . import reading
from .completion import Completion, Limits, Row
from .drafts import Drafting, Pace
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
    drafting: Drafting | None = None,
) -> list[Completion]:
    """Complete all prompts; see :func:`stream`."""
    rows = _rows(model, prompts, limits or Limits())
    writing = _Writing(model, sampling or Sampling(), sentinels, use_cache, first_row, drafting or _no_drafts())
    for _ in writing.run(rows):
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
    drafting: Drafting | None = None,
) -> Iterator[tuple[int, bytes]]:
    """Complete prompts, piece by piece.

    In float32 the bytes of a row depend on the model, the row's prompt, limits and sampling alone: not on the batch,
    the cache, or the drafts. Where rounding could turn a choice, it is made from the row's text read anew and alone. In
    half precision rounding is too coarse for that, and rows may part where two bytes are about as likely.

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
        Whether keys and values are kept; without, every pass reads everything again.
    first_row
        What to number the first row, for its random numbers: rows of several calls need not repeat each other.
    drafting
        Where drafts come from; without, every pass writes one byte. What became of the drafts is counted there.

    Yields
    ------
    (number of the row, the next bytes of it); what comes of a row adds up to its completion.

    Raises
    ------
    ConfigurationError
        A prompt that does not fit the model's context, or drafts by a layer that the model does not have.
    """
    rows = _rows(model, prompts, limits or Limits())
    writing = _Writing(model, sampling or Sampling(), sentinels, use_cache, first_row, drafting or _no_drafts())
    yield from writing.run(rows)


def _no_drafts() -> Drafting:
    return Drafting(None, most=1)


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


@dataclass
class _Writing:
    """What all rows of one call share."""

    model: ByteModel
    sampling: Sampling
    sentinels: bool
    use_cache: bool
    first_row: int
    drafting: Drafting

    def run(self, rows: list[Row]) -> Iterator[tuple[int, bytes]]:
        """Write all rows to their ends."""
        if self.drafting.by_model:
            self.model.layer_ahead()
        reader = reading.Reader(self.model, self.sentinels, self.use_cache)
        paces = [Pace(self.drafting.most) for _ in rows]
        active = list(range(len(rows)))
        while active:
            drafts = self._drafts(reader, [rows[number] for number in active], [paces[number] for number in active])
            logits = reader.read([rows[number] for number in active], drafts)
            still = []
            for number, draft, row_logits in zip(active, drafts, logits, strict=True):
                accepted = self._write(rows[number], number, draft, row_logits)
                paces[number].learn(len(draft), accepted)
                self.drafting.count(len(draft), accepted)
                if piece := rows[number].take():
                    yield number, piece
                if rows[number].reason is None:
                    still.append(number)
            if len(still) < len(active):
                reader.keep([active.index(number) for number in still])
            active = still

    def _drafts(self, reader: reading.Reader, rows: list[Row], paces: list[Pace]) -> list[bytes]:
        """A draft for each row, b"" for none."""
        room = reading.room(rows, self.model.architecture.context)
        # The pass writes a byte of its own after the draft.
        most = [max(0, min(pace.wanted(), room, row.left - 1)) for row, pace in zip(rows, paces, strict=True)]
        drafts = [self.drafting.propose(bytes(row.text), size) for row, size in zip(rows, most, strict=True)]
        if not self.drafting.by_model:
            return drafts
        lacking = [0 if draft else size for draft, size in zip(drafts, most, strict=True)]
        return [draft or own for draft, own in zip(drafts, reader.look_ahead(rows, lacking), strict=True)]

    def _write(self, row: Row, number: int, draft: bytes, logits: NDArray[np.float64]) -> int:
        """Choose the draft's bytes while they are the model's, and the byte after them; how many were the model's."""
        drafted = [*(byte + BYTE_OFFSET for byte in draft), None]
        for accepted, (after, expected) in enumerate(zip(logits, drafted, strict=True)):
            id_ = self._choice(row, number, after)
            if id_ is None:
                # The limit leaves no room for the rest of a character.
                row.reason = "length"
                break
            row.append(id_)
            if id_ != expected:
                break
            if row.reason is not None:
                return accepted + 1
        return accepted

    def _choice(self, row: Row, number: int, logits: NDArray[np.float64]) -> int | None:
        """The id that follows a row; None if nothing may."""
        allowed = row.allowed()
        if not allowed.any():
            return None
        key = self.first_row + number, row.written
        slack = reading.slack(logits, self.model.dtype)
        choice = self.sampling.choose(np.where(allowed, logits, -np.inf), *key, slack)
        if slack and not choice.firm:
            (logits,) = reading.alone(self.model, row, self.sentinels)
            choice = self.sampling.choose(np.where(allowed, logits, -np.inf), *key)
        return choice.id
