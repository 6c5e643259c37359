"""From the raw view to a compressed one: workers encode ranges of documents, this process writes them in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from ...common import jit
from ...common.parallel import Setup, Workers
from ...common.progress import Progress
from ...compressors import Compressor
from ..dataset.reader import ViewReader
from .repeat import check_repeats
from .staging import PendingView
from .units import Units, units_of

# Large enough that handing work out costs nothing, small enough that workers end together.
_RANGE_BYTES: Final = 1 << 21
_RANGES_PER_WORKER: Final = 16
_SMALLEST_RANGE: Final = 1 << 16
_AGAIN_BYTES: Final = 1 << 17

Range = tuple[int, int]
"""Documents ``begin … end - 1``."""


@dataclass(frozen=True)
class EncodedRange:
    """What a worker made of a range of documents.

    ``views`` holds, for the codes and (if there are any) the spans, the units of all documents one after the other,
    and their number for each document.
    """

    documents: int
    raw_bytes: int
    views: list[Units]


def ranges(view: ViewReader, documents: Range, workers: int) -> Iterator[Range]:
    """Cut a range of documents into smaller ones of about equal bytes."""
    begin, end = documents
    starts = view.sequence_pointers[begin:end]
    total = int(view.sequence_lengths[begin:end].sum(dtype=np.int64))
    size = min(max(total // (max(workers, 1) * _RANGES_PER_WORKER), _SMALLEST_RANGE), _RANGE_BYTES)
    while begin < end:
        # The first document that begins after `size` bytes.
        stop = documents[0] + int(np.searchsorted(starts, int(view.sequence_pointers[begin]) + size))
        stop = min(max(stop, begin + 1), end)
        yield begin, stop
        begin = stop


def encoder(raw_path: str, compressor: Compressor) -> Callable[[Range], EncodedRange]:
    """What a worker does: from a range of documents to their codes."""
    return partial(_encode, ViewReader(raw_path), compressor)


def _encode(view: ViewReader, compressor: Compressor, bounds: Range) -> EncodedRange:
    begin, end = bounds
    documents = list(view.read_each(begin, end))
    size = sum(map(len, documents))
    return EncodedRange(end - begin, size, units_of(compressor, documents))


def _few(raw: ViewReader, begin: int, found: EncodedRange) -> int:
    """How many documents at the beginning of a range are encoded again: those of its first :data:`_AGAIN_BYTES`."""
    sizes = np.cumsum(raw.sequence_lengths[begin : begin + found.documents], dtype=np.int64)
    return int(np.searchsorted(sizes, _AGAIN_BYTES, side="right"))


def encode(
    raw: ViewReader,
    documents: Range,
    compressor: Compressor,
    pending: Sequence[PendingView],
    workers: int,
    progress: Progress,
    given: Setup[Range, EncodedRange] | None = None,
) -> None:
    """Write the codes of a range of documents to ``pending[0]``, and the spans to ``pending[1]`` if there are any.

    The first of them are encoded again, in this process, and must have the same codes. Codes that are ``given`` are
    taken as they are.

    Raises
    ------
    CompressorError
        A compressor that does not keep its contract.
    """
    setup = given or partial(encoder, raw.path, compressor)
    with Workers(setup, workers, preload=[__name__, type(compressor).__module__, jit.READY]) as pool:
        first = documents[0]
        for number, found in enumerate(pool.map(ranges(raw, documents, workers))):
            if number == 0 and given is None:
                check_repeats(compressor, list(raw.read_each(first, first + _few(raw, first, found))), found.views)
            for view, (units, lengths) in zip(pending, found.views, strict=True):
                view.add(units, lengths)
            progress.advance(found.documents, found.raw_bytes)
