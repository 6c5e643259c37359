"""Equal-information windows: the code of every window, what a code stands for, and the slow way to the same codes.

A window holds the bytes whose arithmetic-coding interval is at least 2^-bits wide; it ends where one more byte would
make it narrower (Lester et al. 2024, arXiv 2404.03626, on which the paper's neural compressor stands). An interval
that wide holds a multiple of 2^-bits, and the first such multiple is the window's code. Coder and context start anew
with every window.

Windows whose strings begin with one another can share a code, if the longer one's interval begins where the shorter
one's does: that is why the way back is fuzzy. Others cannot, since their intervals do not meet.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..strings.enumerate_strings import INTERVAL_BITS, NUM_BYTES, Compiled, entropy, split
from .predict import Predictor

NO_CODE = -1
"""In place of the code of a single byte that does not fit a window: it stays a literal."""


def window_codes(compiled: Compiled, bits: int) -> NDArray[np.int32]:
    """The code, below 2^bits, of every string of ``compile_windows``: int32, shape (256 + strings,)."""
    step = 1 << (INTERVAL_BITS - bits)
    codes = (compiled.lows + step - 1) // step
    return np.where(compiled.widths >= step, codes, NO_CODE).astype(np.int32)


def likeliest(compiled: Compiled, codes: NDArray[np.int32], bits: int) -> NDArray[np.int32]:
    """What to decode each code as: int32, shape (2^bits,), the number of a string, or -1 where no window has the code.

    Of the windows with a code it is the one that ends most often: a window's interval less those of its extensions is
    the probability that it ends there. Of equals it is the longest.
    """
    ends = compiled.widths.copy()
    np.subtract.at(ends, compiled.parents, compiled.widths[NUM_BYTES:])
    strings = np.flatnonzero(codes >= 0)
    # The last assignment stays: the likeliest, and of equals the one with the highest number, which is the longest.
    order = strings[np.argsort(ends[strings], kind="stable")]
    best = np.full(1 << bits, NO_CODE, dtype=np.int32)
    best[codes[order]] = order
    return best


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
