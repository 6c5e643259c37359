"""Equal-information windows: the code of every window, and what a code stands for.

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

from ...vocab import NUM_BYTES
from ..strings.enumerate_strings import INTERVAL_BITS, CompiledStrings
from ..strings.string_set import NO_CODE


def window_codes(compiled: CompiledStrings, bits: int) -> NDArray[np.int32]:
    """The code, below 2^bits, of every string of ``compile_windows``: int32, shape (256 + strings,).

    :data:`NO_CODE` for a single byte that does not fit a window: it stays a literal.
    """
    step = 1 << (INTERVAL_BITS - bits)
    codes = (compiled.lows + step - 1) // step
    return np.where(compiled.widths >= step, codes, NO_CODE).astype(np.int32)


def likeliest(compiled: CompiledStrings, codes: NDArray[np.int32], bits: int) -> NDArray[np.int32]:
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
