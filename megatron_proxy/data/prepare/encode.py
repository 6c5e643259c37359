"""From the raw view to a compressed one: workers encode ranges of documents, this process writes them in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from ...common import jit
from ...compressors import Compressor
from ...common.parallel import Workers
from ...common.progress import Progress
from ..dataset.reader import ViewReader
from .staging import PendingView
from .units import Units, code_units, span_units

# Large enough that handing work out costs nothing, small enough that workers end together.
_RANGE_BYTES: Final = 1 << 21
_RANGES_PER_WORKER: Final = 16
_SMALLEST_RANGE: Final = 1 << 16

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
    sizes = list(map(len, documents))
    if compressor.spans:
        encoded = list(compressor.encode_each(_taken(documents)))
        found = [code_units(compressor, [one.codes for one in encoded]), span_units(compressor, sizes, encoded)]
    else:
        found = [code_units(compressor, [compressor.encode(document) for document in _taken(documents)])]
    return EncodedRange(end - begin, sum(sizes), found)


def _taken(documents: list[bytes]) -> Iterator[bytes]:
    """The documents, each forgotten when the next is taken: huge ones should not be held longer than they must."""
    documents.reverse()
    while documents:
        yield documents.pop()


def encode(
    raw: ViewReader,
    documents: Range,
    compressor: Compressor,
    pending: Sequence[PendingView],
    workers: int,
    progress: Progress,
) -> None:
    """Write the codes of a range of documents to ``pending[0]``, and the spans to ``pending[1]`` if there are any.

    Raises
    ------
    CompressorError
        A compressor that does not keep its contract.
    """
    with Workers(
        partial(encoder, raw.path, compressor), workers, preload=[__name__, type(compressor).__module__, jit.READY]
    ) as pool:
        for found in pool.map(ranges(raw, documents, workers)):
            for view, (units, lengths) in zip(pending, found.views, strict=True):
                view.add(units, lengths)
            progress.advance(found.documents, found.raw_bytes)
