"""Nats of many streams: windows are batched, shared out over processes, and summed in one fixed order.

Which windows make a batch, and in which order sums are taken, depends on the input alone. So one process and many give
the same number, bit for bit (on machines that compute alike).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.utils.rnn import pad_sequence

from ..errors import CheckpointError
from ..model.network import ByteModel
from ..vocab import NUM_SPECIALS
from .windows import IdStream, Window, windows

_SORTED_BATCHES: Final = 16
"""Windows of so many batches are sorted by length before they are batched: less padding."""


@dataclass
class Tally:
    """Sums over what was scored.

    Parameters
    ----------
    nats
        Of the targets counted, under the model's whole vocabulary.
    byte_nats
        The same under the specials and bytes alone: what the exported model, which has no other ids, computes.
    targets
        How many ids were counted.
    source_bytes
        The bytes they stand for.
    correct
        How many of them were the model's first choice.
    documents
        How many documents they come from.
    """

    nats: float = 0.0
    byte_nats: float = 0.0
    targets: int = 0
    source_bytes: int = 0
    correct: int = 0
    documents: int = 0

    def add(self, other: Tally) -> None:
        """Add another tally to this one."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


@dataclass(frozen=True)
class Shares:
    """How work is shared out over the processes that torchrun started (by default those of the environment)."""

    rank: int = field(default_factory=lambda: int(os.environ.get("RANK", "0")))
    processes: int = field(default_factory=lambda: int(os.environ.get("WORLD_SIZE", "1")))

    def mine(self, number: int) -> bool:
        """Whether this process does the piece of work with this number."""
        return number % self.processes == self.rank

    def add(self, sums: Sequence[NDArray[np.float64]], columns: int) -> NDArray[np.float64]:
        """All processes' sums, shape (rows, columns), where each row is zero but in the process that took it.

        Raises
        ------
        CheckpointError
            If one of them is no number.
        """
        joined = np.concatenate(sums) if sums else np.zeros((0, columns))
        if self.processes > 1:
            # One number and zeros: adding them up changes no bit of it.
            torch.distributed.all_reduce(torch.from_numpy(joined))
        if not np.isfinite(joined).all():
            raise CheckpointError(
                "the model's probabilities are no numbers",
                fix="take an --iteration before training diverged, or another --dtype",
            )
        return joined


class Segment(NamedTuple):
    """A stretch of ids, of one document: ``[begin, end)``, with its bytes, counts for ``tally``."""

    begin: int
    end: int
    tally: Tally
    source_bytes: int

    def part(self, begin: int, end: int, shift: int) -> Segment:
        """What of it lies in ``[begin, end)``, ``shift`` ids further on, with about the bytes that it stands for."""
        begin, end = max(begin, self.begin), min(end, self.end)
        # A document may be empty.
        ids = max(1, self.end - self.begin)
        before, size = (self.source_bytes * (place - self.begin) // ids for place in (begin, end))
        return Segment(begin + shift, end + shift, self.tally, size - before)


class Scored(NamedTuple):
    """A stream with its segments, in order and without overlap; ids outside of them are context."""

    stream: IdStream
    segments: Sequence[Segment]


_Item = tuple[Window, list[Segment]]
"""A window and what of it counts, by the places of its targets."""


@dataclass
class Scorer:
    """Scores streams.

    Parameters
    ----------
    model
        The model.
    context, stride
        See :func:`.windows.windows`.
    batch
        Windows per pass.
    progress
        Called with the number of source bytes in each batch once it is done, by whichever process.
    """

    model: ByteModel
    context: int
    stride: int
    batch: int = 8
    progress: Callable[[int], None] | None = None
    shares: Shares = field(default_factory=Shares)

    def score(self, streams: Iterable[Scored]) -> None:
        """Add nats, targets and first choices of the streams' counted ids to the tallies of their segments."""
        tallies: list[Tally] = []
        sums: list[NDArray[np.float64]] = []
        for number, batch in enumerate(_batches(self._windows(streams), self.batch)):
            own = [part.tally for _, parts in batch for part in parts]
            sums.append(self._sums(batch) if self.shares.mine(number) else np.zeros((len(own), 4)))
            if self.progress is not None:
                self.progress(sum(part.source_bytes for _, parts in batch for part in parts))
            tallies += own
        for tally, (nats, byte_nats, targets, correct) in zip(tallies, self.shares.add(sums, 4).tolist(), strict=True):
            tally.add(Tally(nats, byte_nats, int(targets), 0, int(correct)))

    def _windows(self, streams: Iterable[Scored]) -> Iterator[_Item]:
        for stream, segments in streams:
            for window in windows(stream, self.context, self.stride):
                begin, end = window.begin, window.begin + len(window.targets) - window.skip
                shift = window.skip - window.begin
                parts = [
                    segment.part(begin, end, shift)
                    for segment in segments
                    if segment.begin < end and segment.end > begin
                ]
                if parts:
                    yield window, parts

    def _sums(self, batch: Sequence[_Item]) -> NDArray[np.float64]:
        """For each part: nats, nats under bytes alone, number of targets, number of first choices."""
        inputs = pad_sequence([torch.from_numpy(window.inputs) for window, _ in batch], batch_first=True)
        targets = pad_sequence([torch.from_numpy(window.targets) for window, _ in batch], batch_first=True)
        counted = torch.zeros_like(targets, dtype=torch.bool)
        for row, (_, parts) in enumerate(batch):
            for part in parts:
                counted[row, part.begin : part.end] = True
        counted &= targets >= NUM_SPECIALS
        scores = self.model.scores(inputs, targets, counted)
        values = torch.stack([scores.nats, scores.byte_nats, counted.double(), scores.correct], dim=-1)
        summed = [
            values[row, part.begin : part.end].sum(dim=0) for row, (_, parts) in enumerate(batch) for part in parts
        ]
        return torch.stack(summed).numpy() if summed else np.zeros((0, 4))


def _batches(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    """Batches of windows of about equal length."""
    waiting: list[_Item] = []
    for item in items:
        waiting.append(item)
        if len(waiting) == size * _SORTED_BATCHES:
            yield from _cut(waiting, size)
            waiting = []
    yield from _cut(waiting, size)


def _cut(items: list[_Item], size: int) -> Iterator[list[_Item]]:
    items.sort(key=lambda item: len(item[0].inputs))
    for begin in range(0, len(items), size):
        yield items[begin : begin + size]
