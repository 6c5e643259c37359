"""What compressors hand over, checked, as it is stored: units of many documents one after the other, and lengths.

A third party's compressor may break its contract; here it is caught, before anything is written. All documents of a
range are checked at once: a check per document would cost as much as a fast compressor.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...compressors.base import Compressor, Encoded
from ...errors import CompressorError
from ..corpus.jsonl import MAX_DOCUMENT_BYTES

MAX_SPAN: Final = 65_535
SPAN_DTYPE: Final[np.dtype[Any]] = np.dtype(np.uint16)

Units = tuple[bytes, NDArray[np.int32]]
"""The units of some documents, one after the other, and the number of units of each."""


def units_of(compressor: Compressor, documents: list[bytes]) -> list[Units]:
    """The codes of some documents and, if there are any, the spans; the list is emptied.

    A compressor that does not keep its contract is a CompressorError.
    """
    sizes = list(map(len, documents))
    if compressor.spans:
        encoded = list(compressor.encode_each(_taken(documents)))
        return [code_units(compressor, [one.codes for one in encoded]), span_units(compressor, sizes, encoded)]
    return [code_units(compressor, [compressor.encode(document) for document in _taken(documents)])]


def _taken(documents: list[bytes]) -> Iterator[bytes]:
    """The documents, each forgotten when the next is taken: huge ones should not be held longer than they must."""
    documents.reverse()
    while documents:
        yield documents.pop()


def code_units(compressor: Compressor, codes: Sequence[NDArray[Any]]) -> Units:
    """The codes of some documents.

    Raises
    ------
    CompressorError
        Codes of another dtype or shape than promised, or out of range, or too many for an index.
    """
    vocabulary = compressor.vocabulary
    for one in codes:
        if one.dtype != vocabulary.code_dtype or one.ndim != 1:
            raise _broken(
                compressor,
                f"codes of dtype {one.dtype} and shape {one.shape}; promised is {vocabulary.code_dtype}, 1-D",
            )
    joined = _joined(codes, vocabulary.code_dtype)
    if joined.size and not 0 <= int(joined.min()) <= int(joined.max()) < vocabulary.num_codes:
        raise _broken(compressor, f"codes from {joined.min()} to {joined.max()}; there are {vocabulary.num_codes:,}")
    return joined.tobytes(), _lengths(compressor, [one.size for one in codes])


def span_units(compressor: Compressor, sizes: Sequence[int], encoded: Sequence[Encoded]) -> Units:
    """The spans of some documents of ``sizes`` bytes, as pairs (bytes, codes).

    Raises
    ------
    CompressorError
        Spans that do not cover their document, or are too long to be stored.
    """
    counts = np.array([len(one.byte_ends) for one in encoded], dtype=np.int64)
    if any(len(one.code_ends) != len(one.byte_ends) for one in encoded):
        raise _broken(compressor, "spans with more byte ends than code ends, or fewer")
    ends = np.empty((int(counts.sum()), 2), dtype=np.int64)
    ends[:, 0] = _joined([one.byte_ends for one in encoded], ends.dtype)
    ends[:, 1] = _joined([one.code_ends for one in encoded], ends.dtype)
    lengths = np.diff(ends, axis=0, prepend=0)
    has_spans = counts > 0
    last = np.cumsum(counts)[has_spans]
    first = last - counts[has_spans]
    lengths[first] = ends[first]
    reached = np.zeros((len(encoded), 2), dtype=np.int64)
    reached[has_spans] = ends[last - 1]
    expected = np.stack([np.array(sizes, dtype=np.int64), [len(one.codes) for one in encoded]], axis=1)
    if (wrong := (reached != expected).any(axis=1)).any():
        which = int(np.argmax(wrong))
        raise _broken(
            compressor,
            f"spans up to {reached[which].tolist()} of a document of {expected[which].tolist()} (bytes, codes)",
        )
    if len(lengths) and not 0 <= int(lengths.min()) <= int(lengths.max()) <= MAX_SPAN:
        raise _broken(
            compressor,
            f"spans of {lengths.min():,} to {lengths.max():,} bytes or codes; at most {MAX_SPAN:,} are stored",
        )
    return lengths.astype(SPAN_DTYPE).tobytes(), _lengths(compressor, (2 * counts).tolist())


def _joined(arrays: Sequence[NDArray[Any]], dtype: np.dtype[Any]) -> NDArray[Any]:
    """The arrays end to end; a single one (a huge document) is not copied."""
    if len(arrays) == 1:
        return arrays[0]
    return np.concatenate(arrays) if arrays else np.empty(0, dtype=dtype)


def _lengths(compressor: Compressor, sizes: Sequence[int]) -> NDArray[np.int32]:
    if sizes and max(sizes) > MAX_DOCUMENT_BYTES:
        raise _broken(compressor, f"{max(sizes):,} units of one document, too many for an index")
    return np.array(sizes, dtype=np.int32)


def _broken(compressor: Compressor, what: str) -> CompressorError:
    return CompressorError(f"compressor {compressor.name!r} gave {what}")
