"""Compiled loops over spans, for the mode ``interleaved``.

numba is loaded by the first call, which costs a quarter of a second, and some seconds more when the compiled code is
not cached yet.

Shared arguments: ``table`` is the spans view (of each document the flattened pairs of its spans), ``spans`` one
document's part of it (uint16, shape (spans, 2): bytes and codes of each span), ``stream`` the key of (seed,
``SPAN_FORMAT``), of which each draw has a subkey (uint64), ``threshold`` the rate as an integer: span *j* is compressed
if the upper 53 bits of random number *j* are below it (uint64). Numba compiles these functions from their bodies, so
they are written in plain loops and scalars.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...common.jit import jit
from ...common.rng import GOLDEN_GAMMA, mix
from ...vocab import BYTE_OFFSET, COMPRESSED_CLOSE, COMPRESSED_OPEN, EOS, RAW_CLOSE, RAW_OPEN
from ..dataset.reader import Flat

SPANS_DIFFER: Final = -1
"""Returned where spans reach beyond the views of their document."""
ENDLESS: Final = 2**62
"""More ids than any draw has."""

_mix = jit(mix)


@jit
def subkey(stream: np.uint64, part: int) -> np.uint64:
    """:func:`megatron_proxy.common.rng.subkeys`, for one part."""
    return _mix((stream ^ np.uint64(part)) + GOLDEN_GAMMA)


@jit
def is_compressed(key: np.uint64, span: int, threshold: np.uint64) -> bool:
    """Whether a span is compressed: :func:`megatron_proxy.common.rng.uniform`, compared as integers."""
    state = _mix(key + (np.uint64(span) + np.uint64(1)) * GOLDEN_GAMMA)
    return bool((state >> np.uint64(11)) < threshold)


@jit
def _totals(spans: NDArray[np.uint16], key: np.uint64, threshold: np.uint64, end: int) -> tuple[int, int, int, int]:
    """Totals of a draw's first ``end`` ids, with the columns of :func:`measure`; the last two only of whole draws."""
    raw_bytes, source_bytes, ids, codes, previous = 0, 0, 0, 0, -1
    for span in range(len(spans)):
        compressed = int(is_compressed(key, span, threshold))
        size, source = int(spans[span, compressed]), int(spans[span, 0])
        ids += size + int(compressed != previous) * (1 + int(previous >= 0))
        previous = compressed
        if ids > end:
            source = max(size - (ids - end), 0) * source // max(size, 1)
        raw_bytes += source * (1 - compressed)
        source_bytes += source * compressed
        codes += int(spans[span, 1])
        if ids >= end:
            break
    return raw_bytes, source_bytes, ids + 1 + int(previous >= 0), codes


@jit
def _spans(table: Flat, document: int) -> tuple[bool, NDArray[np.uint16]]:
    """Whether the spans of a document are inside their view, and the spans."""
    units, pointers, sizes = table
    begin, size = int(pointers[document]) // units.itemsize, int(sizes[document])
    # begin + size could overflow.
    if size < 0 or size % 2 or not 0 <= begin <= len(units) - size:
        return False, units[:0].reshape(-1, 2)
    return True, units[begin : begin + size].reshape(-1, 2)


@jit
def measure(
    table: Flat,
    draws: NDArray[np.int64],
    documents: NDArray[np.int32],
    stream: np.uint64,
    threshold: np.uint64,
    ends: NDArray[np.int64],
    out: NDArray[np.int64],
) -> None:
    """Totals of the first ``ends[row]`` ids of each draw, into ``out`` (int64, shape (draws, 4)).

    The columns: bytes in raw spans, source bytes in compressed spans; and only of whole draws, which is to say up to
    :data:`ENDLESS`, ids, and codes of all spans of the document. All are -1 where the spans are not inside their view.
    """
    for row in range(len(draws)):
        inside, spans = _spans(table, int(documents[row]))
        if not inside:
            out[row] = -1
            continue
        totals = _totals(spans, subkey(stream, draws[row]), threshold, ends[row])
        out[row, 0], out[row, 1], out[row, 2], out[row, 3] = totals


@jit
def _put(out: NDArray[np.int64], at: int, special: int, opener: int) -> int:
    """Place a special at ``out[at]`` if that is inside; before the stretch it becomes the opener, which is returned."""
    if at < 0:
        return special
    if at < len(out):
        out[at] = special
    return opener


@jit
def _shift(units: NDArray[Any], offset: int, out: NDArray[np.int64]) -> None:
    """Write the ids of units; indices that are plainly not negative let the compiler use vector instructions."""
    for i in range(len(out)):
        out[i] = int(units[i]) + offset


@jit
def assemble(
    spans: NDArray[np.uint16],
    stream: np.uint64,
    draw: int,
    threshold: np.uint64,
    begin: int,
    raw: NDArray[np.uint8],
    codes: NDArray[Any],
    code_offset: int,
    out: NDArray[np.int64],
) -> tuple[int, int]:
    """Write the ids of a draw from ``begin`` on into ``out`` (int64), as many as it has or ``out`` holds.

    ``raw`` and ``codes`` are the document's views.

    Returns
    -------
    The number of ids written (or :data:`SPANS_DIFFER`), and the last special before ``begin`` (eos if there is none).
    """
    key, at, previous, opener = subkey(stream, draw), -begin, -1, EOS
    raw_at, code_at = 0, 0
    for span in range(len(spans)):
        compressed = int(is_compressed(key, span, threshold))
        if compressed != previous:
            if previous >= 0:
                opener = _put(out, at, COMPRESSED_CLOSE if previous else RAW_CLOSE, opener)
                at += 1
            opener = _put(out, at, COMPRESSED_OPEN if compressed else RAW_OPEN, opener)
            at += 1
            previous = compressed
        size = int(spans[span, compressed])
        if raw_at + int(spans[span, 0]) > len(raw) or code_at + int(spans[span, 1]) > len(codes):
            return SPANS_DIFFER, opener
        first, last = max(at, 0), min(at + size, len(out))
        if first < last:
            if compressed:
                _shift(codes[code_at + first - at : code_at + last - at], code_offset, out[first:last])
            else:
                _shift(raw[raw_at + first - at : raw_at + last - at], BYTE_OFFSET, out[first:last])
        at += size
        raw_at += int(spans[span, 0])
        code_at += int(spans[span, 1])
        if at >= len(out):
            return len(out), opener
    if previous >= 0:
        opener = _put(out, at, COMPRESSED_CLOSE if previous else RAW_CLOSE, opener)
        at += 1
    opener = _put(out, at, EOS, opener)
    return min(at + 1, len(out)), opener
