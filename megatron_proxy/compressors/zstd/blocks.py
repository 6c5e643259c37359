"""Blocks of zstd frames as codes, and back (RFC 8878, section 3.1.1.2).

Every segment is one frame without magic number, content size, checksum and dictionary id. Its two header bytes say
nothing then, and its 3-byte block header would be three opaque symbols that change with every edit. Instead a block
opens with one marker for its type; its size is told by where the next marker stands.

========  ==========================================================================
code      meaning
========  ==========================================================================
0 … 255   a literal byte: raw blocks, and the literals of a block that zstd left raw
256 … 511 a byte of compressed payload
512 …     markers: first block of a segment {raw, RLE, compressed}, further block {…}
========  ==========================================================================

An RLE block is its byte and its length (two payload bytes, little-endian).
"""

from __future__ import annotations

from itertools import accumulate
from typing import Any, Final

import numpy as np
import zstandard
from numpy.typing import NDArray

from ...common.jit import jit
from ...errors import CompressorError
from ..segments.segmenter import Segmenter
from ..words import PADDING
from .sequences import literals_section

PAYLOAD: Final = 256
"""Code of payload byte 0."""

MARKERS: Final = 512
"""Code of the first marker: marker ``type`` opens a segment, marker ``3 + type`` goes on with it."""

NUM_SYMBOLS: Final = 256 + 6
"""Payload bytes and markers."""

RAW: Final = 0
RLE: Final = 1

FRAME_HEADER: Final = 2
"""Bytes of a frame's header: descriptor and window."""

# Frame_Header_Descriptor 0 (nothing optional), Window_Descriptor 56: 2^17 bytes, more than any segment has.
_DESCRIPTOR: Final = 0
_WINDOW: Final = 56

_LARGEST_BLOCK: Final = 1 << 17


class BlockForm:
    """The codes of blocks.

    Parameters
    ----------
    zdict
        What to decompress with.
    """

    num_symbols = NUM_SYMBOLS

    def __init__(self, zdict: zstandard.ZstdCompressionDict | None) -> None:
        self._zdict = zdict

    def symbol_bytes(self) -> None:
        """What a byte of payload stands for depends on its block."""

    def encode(
        self, frames: NDArray[np.uint8], text: NDArray[np.uint8], ends: NDArray[np.int64], dtype: Any
    ) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """The codes of one frame per segment, and where each segment's codes end; ``frames`` end with padding."""
        codes = np.empty(len(frames), dtype=dtype)
        code_ends = np.empty(len(ends), dtype=np.int64)
        count = codes_of_frames(frames[: -len(PADDING)], codes, code_ends)
        return codes[:count].copy(), code_ends

    def decode(self, codes: NDArray[Any], segmenter: Segmenter) -> bytes:
        """The document of ``codes``.

        Raises
        ------
        CompressorError
            If they are not blocks, cannot be decompressed, or are of other segments than ``segmenter`` cuts.
        """
        frames = np.empty(5 * len(codes), dtype=np.uint8)
        ends = np.empty(len(codes), dtype=np.int64)
        count = frames_of_codes(codes.astype(np.uint16), frames, ends)
        if count < 0:
            raise CompressorError("these codes are not zstd blocks", where=f"code {-1 - count}")
        decompressor = zstandard.ZstdDecompressor(dict_data=self._zdict, format=zstandard.FORMAT_ZSTD1_MAGICLESS)
        segments = []
        view = memoryview(frames)
        begin = 0
        try:
            for end in ends[:count].tolist():
                segments.append(decompressor.decompress(view[begin:end], max_output_size=segmenter.max_bytes))
                begin = end
        except zstandard.ZstdError as error:
            raise CompressorError(f"zstd cannot decompress segment {len(segments)}: {error}") from error
        document = b"".join(segments)
        if segmenter.ends(document).tolist() != list(accumulate(map(len, segments))):
            raise CompressorError("these codes' segments are not where this compressor cuts the document")
        return document


@jit
def _little_endian(data: NDArray[np.uint8], at: Any) -> Any:
    """The 3-byte number at ``at``."""
    return np.int64(data[at]) | (np.int64(data[at + 1]) << 8) | (np.int64(data[at + 2]) << 16)


@jit
def _literals(block: NDArray[np.uint8]) -> tuple[Any, Any]:
    """Where the literals of a compressed block lie that are stored as they are: begin and end in the block.

    (0, 0) if they are Huffman-coded; (-1, -1) if the block is too short for its own header.
    """
    if len(block) < 2:
        return -1, -1
    kind = block[0] & 3
    if kind >= 2:
        return 0, 0
    end, count = literals_section(_little_endian(block, 0))
    begin = end - (1 if kind == 1 else count)
    return (begin, end) if end <= len(block) else (-1, -1)


@jit
def codes_of_frames(frames: NDArray[np.uint8], codes: NDArray[np.uint16], ends: NDArray[np.int64]) -> int:
    """Fill ``codes`` with the codes of concatenated frames, as zstd makes them; returns how many.

    ``codes`` has room for ``len(frames)`` codes; ``ends`` (one per frame) is filled with where each segment ends.
    """
    at = 0
    count = 0
    for segment in range(len(ends)):
        at += FRAME_HEADER
        marker = MARKERS
        last = False
        while not last:
            header = _little_endian(frames, at)
            at += 3
            last = header & 1 == 1
            kind = (header >> 1) & 3
            size = header >> 3
            codes[count] = marker + kind
            count += 1
            marker = MARKERS + 3
            if kind == RLE:
                codes[count] = frames[at]
                codes[count + 1] = PAYLOAD + (size & 255)
                codes[count + 2] = PAYLOAD + (size >> 8)
                count += 3
                at += 1
                continue
            begin, end = (0, size) if kind == RAW else _literals(frames[at : at + size])
            for i in range(size):
                codes[count + i] = np.int64(frames[at + i]) + (0 if begin <= i < end else PAYLOAD)
            count += size
            at += size
        ends[segment] = count
    return count


@jit
def _fill_block(codes: NDArray[np.uint16], kind: Any, last: bool, out: NDArray[np.uint8]) -> int:
    """Write one block, header included, to ``out``; returns its size there, or -1 if no encoder makes such codes."""
    size = np.int64(len(codes))
    if kind == RLE:
        if size != 3 or codes[0] >= PAYLOAD or not (PAYLOAD <= codes[1] < MARKERS and PAYLOAD <= codes[2] < MARKERS):
            return -1
        size = np.int64(codes[1] - PAYLOAD) | (np.int64(codes[2] - PAYLOAD) << 8)
    header = (size << 3) | (kind << 1) | (1 if last else 0)
    if size == 0 or size > _LARGEST_BLOCK:
        return -1
    out[0], out[1], out[2] = header & 255, (header >> 8) & 255, header >> 16
    if kind == RLE:
        out[3] = codes[0]
        return 4
    for i in range(size):
        out[3 + i] = codes[i] & 255
    begin, end = (0, size) if kind == RAW else _literals(out[3 : 3 + size])
    for i in range(size):
        if (codes[i] < PAYLOAD) != (begin <= i < end):
            return -1
    return 3 + len(codes)


@jit
def frames_of_codes(codes: NDArray[np.uint16], out: NDArray[np.uint8], ends: NDArray[np.int64]) -> int:
    """The inverse of :func:`codes_of_frames`: fills ``out`` with frames and ``ends`` with where each ends there.

    ``out`` has room for ``5 * len(codes)`` bytes, ``ends`` for as many frames as ``codes`` has segment markers.

    Returns
    -------
    The number of frames, or ``-1 - place`` of the first block that no encoder makes.
    """
    count = 0
    used = 0
    at = 0
    while at < len(codes):
        marker = np.int64(codes[at]) - MARKERS
        stop = at + 1
        while stop < len(codes) and codes[stop] < MARKERS:
            stop += 1
        if marker < 0 or marker > 5 or (marker >= 3 and count == 0):
            return -1 - at
        if marker < 3:
            out[used], out[used + 1] = _DESCRIPTOR, _WINDOW
            used += FRAME_HEADER
            count += 1
        last = stop == len(codes) or codes[stop] < MARKERS + 3
        size = _fill_block(codes[at + 1 : stop], marker % 3, last, out[used:])
        if size < 0:
            return -1 - at
        used += size
        ends[count - 1] = used
        at = stop
    return count
