"""The slow way to the codes of ``neural-ac``: a predictor and an arithmetic coder run over a segment, byte by byte."""

from __future__ import annotations

import numpy as np

from megatron_proxy.compressors.byte_lm.predict import Predictor
from megatron_proxy.compressors.strings.enumerate_strings import INTERVAL_BITS, entropy, split
from megatron_proxy.compressors.strings.string_set import NO_CODE
from megatron_proxy.vocab import NUM_BYTES


def reference_codes(
    segment: bytes, predictor: Predictor, bits: int, longest: int, border: float | None = None
) -> list[int]:
    """The codes of one segment, by running the predictor and an arithmetic coder over it, byte by byte.

    Codes below 256 are literal bytes, others 256 + the window's code. Slow: it is what the trie is checked against.
    """
    codes: list[int] = []
    begin = 0
    while begin < len(segment):
        end, code = _window(segment, begin, predictor, bits, longest, border)
        codes += list(segment[begin:end]) if code == NO_CODE else [NUM_BYTES + code]
        begin = end
    return codes


def _window(
    segment: bytes, begin: int, predictor: Predictor, bits: int, longest: int, border: float | None
) -> tuple[int, int]:
    """Where the window that starts at ``begin`` ends, and its code; :data:`NO_CODE` if its bytes stay literals."""
    step = 1 << (INTERVAL_BITS - bits)
    predictor.start()
    low, width = 0, 1 << INTERVAL_BITS
    for end in range(begin, len(segment)):
        frequencies = predictor.frequencies()
        lows, widths = split(np.array([low]), np.array([width]), frequencies)
        following = segment[end]
        closed = end > begin and border is not None and entropy(frequencies)[0] > border
        if closed or end - begin == longest or widths[0, following] < step:
            return (end, -(-low // step)) if end > begin else (end + 1, NO_CODE)
        low, width = int(lows[0, following]), int(widths[0, following])
        predictor.descend(np.zeros(1, dtype=np.int64), np.array([following], dtype=np.uint8))
    return len(segment), NO_CODE
