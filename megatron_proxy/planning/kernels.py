"""Compiled loops over spans, for the mode ``interleaved``.

Call them only where they are needed: numba is loaded by the first call, which costs a quarter of a second, and some
seconds more when the compiled code is not cached yet.

Shared arguments: ``spans`` is a document's part of the span table (uint16, shape (spans, 2): bytes and codes of each
span), ``stream`` the key of (seed, ``SPAN_FORMAT``), of which each draw has a subkey (uint64), ``threshold`` the rate
as an integer: span *j* is compressed if the upper 53 bits of random number *j* are below it (uint64). Numba compiles
these functions from their bodies, so they are written in plain loops and scalars.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..jit import jit
from ..vocab import BYTE_OFFSET, COMPRESSED_CLOSE, COMPRESSED_OPEN, EOS, RAW_CLOSE, RAW_OPEN


@jit
def _mix(state: np.uint64) -> np.uint64:
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


@jit
def subkey(stream: np.uint64, part: int) -> np.uint64:
    """The arithmetic of :func:`megatron_proxy.rng.subkeys`, for one part."""
    return _mix((stream ^ np.uint64(part)) + np.uint64(0x9E3779B97F4A7C15))


@jit
def is_compressed(key: np.uint64, span: int, threshold: np.uint64) -> bool:
    """Whether a span is compressed: the arithmetic of :func:`megatron_proxy.rng.uniform`, compared as integers."""
    state = _mix(key + (np.uint64(span) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15))
    return bool((state >> np.uint64(11)) < threshold)


@jit
def measure(
    offsets: NDArray[np.int64],
    lengths: NDArray[np.uint16],
    draws: NDArray[np.int64],
    documents: NDArray[np.int32],
    stream: np.uint64,
    threshold: np.uint64,
    out: NDArray[np.int64],
) -> None:
    """Totals of each draw, into ``out`` (int64, shape (draws, 4)).

    The columns: bytes in raw spans, source bytes in compressed spans, ids, codes of all spans of the document.
    """
    for row in range(len(draws)):
        key = subkey(stream, draws[row])
        raw_bytes, source_bytes, ids, codes, previous = 0, 0, 1, 0, -1
        first = offsets[documents[row]]
        for span in range(offsets[documents[row] + 1] - first):
            compressed = int(is_compressed(key, span, threshold))
            if compressed:
                source_bytes += int(lengths[first + span, 0])
            else:
                raw_bytes += int(lengths[first + span, 0])
            ids += int(lengths[first + span, compressed]) + 2 * int(compressed != previous)
            codes += int(lengths[first + span, 1])
            previous = compressed
        out[row, 0], out[row, 1], out[row, 2], out[row, 3] = raw_bytes, source_bytes, ids, codes


@jit
def measure_before(
    offsets: NDArray[np.int64],
    lengths: NDArray[np.uint16],
    draws: NDArray[np.int64],
    documents: NDArray[np.int32],
    stream: np.uint64,
    threshold: np.uint64,
    ends: NDArray[np.int64],
    out: NDArray[np.int64],
) -> None:
    """Like :func:`measure`, but of the first ``ends[row]`` ids of each draw (``out``: int64, shape (draws, 2))."""
    for row in range(len(draws)):
        key = subkey(stream, draws[row])
        raw_bytes, source_bytes, position, previous = 0, 0, 0, -1
        first = offsets[documents[row]]
        for span in range(offsets[documents[row] + 1] - first):
            compressed = int(is_compressed(key, span, threshold))
            if compressed != previous:
                position += 1 + int(previous >= 0)
                previous = compressed
            size = int(lengths[first + span, compressed])
            seen = min(max(ends[row] - position, 0), size)
            if compressed:
                source_bytes += seen * int(lengths[first + span, 0]) // max(size, 1)
            else:
                raw_bytes += seen
            position += size
            if position >= ends[row]:
                break
        out[row, 0], out[row, 1] = raw_bytes, source_bytes


@jit
def _put(out: NDArray[np.int64], at: int, special: int, opener: int) -> int:
    """Place a special at ``out[at]`` if that is inside; before the stretch it becomes the opener, which is returned."""
    if at < 0:
        return special
    if at < len(out):
        out[at] = special
    return opener


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
    The number of ids written (-1 if the spans reach beyond the views), and the last special before ``begin`` (eos if
    there is none).
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
            return -1, opener
        first, last = max(at, 0), min(at + size, len(out))
        if compressed:
            for i in range(first, last):
                out[i] = int(codes[code_at + i - at]) + code_offset
        else:
            for i in range(first, last):
                out[i] = int(raw[raw_at + i - at]) + BYTE_OFFSET
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
