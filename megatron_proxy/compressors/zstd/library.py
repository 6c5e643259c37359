"""What zstd needs of the zstandard package beside compression itself: dictionaries, and frames from strangers."""

from __future__ import annotations

from typing import Any, Final

import zstandard

from ...errors import CompressorError

DICTIONARY_KINDS: Final = {
    "trained": zstandard.DICT_TYPE_FULLDICT,
    "raw": zstandard.DICT_TYPE_RAWCONTENT,
    "none": zstandard.DICT_TYPE_RAWCONTENT,
}
"""A trained dictionary (with entropy tables), just content (for corpora too small to train on), or none."""

_DICTIONARY_ID: Final = 1
_SMALLEST_DICTIONARY: Final = 256
# What the dictionary builder (fastCover) picks at a time, in bytes.
_PICKED_BYTES: Final = 200

# A block of 3 bytes and more may stand for 128 KiB, so frames are fed in small portions to notice forged sizes early.
_PORTION: Final = 1 << 10


def train_dictionary(samples: list[Any], size: int, level: int) -> tuple[bytes, str]:
    """Content and kind of a dictionary for ``samples``, bytes: trained if there is enough to learn, else just content.

    One thread and fixed parameters: the same samples give the same dictionary.
    """
    try:
        if size < _SMALLEST_DICTIONARY:
            raise zstandard.ZstdError("too small to hold entropy tables")
        trained = zstandard.train_dictionary(
            size, samples, k=_PICKED_BYTES, d=8, f=20, split_point=1.0, accel=1, dict_id=_DICTIONARY_ID, level=level
        )
    except (zstandard.ZstdError, ValueError):
        content = b"".join(samples)[-size:]
        return (content, "raw") if len(content) >= 8 else (b"", "none")
    return trained.as_bytes(), "trained"


def decompress_frame(frame: bytes, zdict: zstandard.ZstdCompressionDict | None) -> bytes:
    """The content of one whole frame that tells its content's size.

    Raises
    ------
    CompressorError
        If it is not exactly one such frame. Memory stays below the size that the frame could stand for at most.
    """
    try:
        size = zstandard.get_frame_parameters(frame).content_size
        if size in (zstandard.CONTENTSIZE_UNKNOWN, zstandard.CONTENTSIZE_ERROR):
            raise CompressorError("a zstd frame without its content's size")
        decompressor = zstandard.ZstdDecompressor(dict_data=zdict).decompressobj()
        parts = []
        missing = size
        for begin in range(0, len(frame), _PORTION):
            parts.append(decompressor.decompress(frame[begin : begin + _PORTION]))
            missing -= len(parts[-1])
            if missing < 0 or decompressor.unused_data or (decompressor.eof and begin + _PORTION < len(frame)):
                raise CompressorError("a zstd frame with more content than it declares, or more than one frame")
    except zstandard.ZstdError as error:
        raise CompressorError(f"zstd cannot decompress the document: {error}") from error
    if missing or not decompressor.eof:
        raise CompressorError("a truncated zstd frame")
    return b"".join(parts)
