"""From the raw view to a compressed one: workers encode ranges of documents, this process writes them in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..compressors.base import Compressor, Encoded
from ..errors import CompressorError
from ..jsonl import MAX_DOCUMENT_BYTES
from ..parallel import Workers
from ..progress import Progress
from ..views import ViewReader
from .pending import PendingView

MAX_SPAN: Final = 65_535
SPAN_DTYPE: Final[np.dtype[Any]] = np.dtype(np.uint16)

# Large enough that handing work out costs nothing, small enough that workers end together.
_RANGE_BYTES: Final = 1 << 20
_RANGES_PER_WORKER: Final = 16
_SMALLEST_RANGE: Final = 1 << 16

Range = tuple[int, int]
"""Documents ``begin … end - 1``."""

Units = tuple[bytes, NDArray[np.int32]]
"""The units of some documents, one after the other, and the number of units of each."""


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


def _encode(view: ViewReader, compressor: Compressor, documents: Range) -> EncodedRange:
    begin, end = documents
    contents = view.read_each(begin, end)
    found = _encode_spans(compressor, contents) if compressor.spans else _encode_whole(compressor, contents)
    return EncodedRange(end - begin, int(view.sequence_lengths[begin:end].sum(dtype=np.int64)), found)


def _encode_whole(compressor: Compressor, documents: Iterator[bytes]) -> list[Units]:
    return [_joined_codes(compressor, [compressor.encode(document) for document in documents])]


def _encode_spans(compressor: Compressor, documents: Iterator[bytes]) -> list[Units]:
    codes, pairs = [], []
    for document in documents:
        encoded = compressor.encode_spans(document)
        codes.append(encoded.codes)
        pairs.append(_span_lengths(compressor, encoded, len(document)))
    spans = b"".join(pair.tobytes() for pair in pairs)
    return [_joined_codes(compressor, codes), (spans, _lengths(compressor, pairs))]


def _joined_codes(compressor: Compressor, codes: list[NDArray[Any]]) -> Units:
    """Codes as they are stored; what a third party's compressor hands over is checked."""
    vocabulary = compressor.vocabulary
    for one in codes:
        if one.dtype != vocabulary.code_dtype or one.ndim != 1:
            raise CompressorError(
                f"compressor {compressor.name!r} gave codes of dtype {one.dtype} and shape {one.shape}, "
                f"promised is {vocabulary.code_dtype}, one-dimensional"
            )
        if one.size and not 0 <= int(one.min()) <= int(one.max()) < vocabulary.num_codes:
            raise CompressorError(f"compressor {compressor.name!r} gave code {one.max()} of {vocabulary.num_codes:,}")
    return b"".join(one.tobytes() for one in codes), _lengths(compressor, codes)


def _lengths(compressor: Compressor, arrays: list[NDArray[Any]]) -> NDArray[np.int32]:
    sizes = np.array([array.size for array in arrays], dtype=np.int64)
    if len(sizes) and int(sizes.max()) > MAX_DOCUMENT_BYTES:
        raise CompressorError(
            f"compressor {compressor.name!r} made {int(sizes.max()):,} units of one document, too many for an index",
            fix="cut such documents, or choose another compressor",
        )
    return sizes.astype(np.int32)


def _span_lengths(compressor: Compressor, encoded: Encoded, size: int) -> NDArray[np.uint16]:
    """The pairs (bytes, codes) of one document's spans: uint16, shape (spans, 2)."""
    ends = np.stack([encoded.byte_ends, encoded.code_ends], axis=1)
    lengths = np.diff(ends, axis=0, prepend=0)
    last, expected = (ends[-1].tolist() if len(ends) else [0, 0]), [size, len(encoded.codes)]
    if last != expected or (lengths < 0).any():
        raise CompressorError(
            f"compressor {compressor.name!r} gave spans up to {last} of a document of {expected} (bytes, codes)"
        )
    if len(lengths) and int(lengths.max()) > MAX_SPAN:
        raise CompressorError(
            f"compressor {compressor.name!r} gave a span of {int(lengths.max()):,} bytes or codes; at most {MAX_SPAN:,}"
        )
    return lengths.astype(SPAN_DTYPE)


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
    with Workers(partial(encoder, raw.path, compressor), workers, preload=[__name__]) as pool:
        for found in pool.map(ranges(raw, documents, workers)):
            for view, (units, lengths) in zip(pending, found.views, strict=True):
                view.add(units, lengths)
            progress.advance(found.documents, found.raw_bytes)
