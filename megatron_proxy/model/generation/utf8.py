"""Valid UTF-8, byte by byte: the states of a character half-written, and the bytes that can follow in each.

Ranges are those of the Unicode standard, table 3-7 (well-formed UTF-8 byte sequences): no overlong forms, no
surrogates, nothing above U+10FFFF.
"""

from __future__ import annotations

import codecs
from typing import Final

import numpy as np
from numpy.typing import NDArray

START: Final = 0
"""Between two characters."""

_ONE, _TWO, _THREE, _E0, _ED, _F0, _F4 = range(1, 8)
_RANGES: Final = (
    (START, 0x00, 0x7F, START),
    (START, 0xC2, 0xDF, _ONE),
    (START, 0xE0, 0xE0, _E0),
    (START, 0xE1, 0xEC, _TWO),
    (START, 0xED, 0xED, _ED),
    (START, 0xEE, 0xEF, _TWO),
    (START, 0xF0, 0xF0, _F0),
    (START, 0xF1, 0xF3, _THREE),
    (START, 0xF4, 0xF4, _F4),
    (_ONE, 0x80, 0xBF, START),
    (_TWO, 0x80, 0xBF, _ONE),
    (_THREE, 0x80, 0xBF, _TWO),
    (_E0, 0xA0, 0xBF, _ONE),
    (_ED, 0x80, 0x9F, _ONE),
    (_F0, 0x90, 0xBF, _TWO),
    (_F4, 0x80, 0x8F, _TWO),
)
_INVALID: Final = -1
_MISSING: Final = np.array([0, 1, 2, 3, 2, 2, 3, 3])
"""How many bytes the character still lacks in each state."""


def _next_states() -> NDArray[np.int64]:
    table = np.full((8, 256), _INVALID, dtype=np.int64)
    for state, first, last, after in _RANGES:
        table[state, first : last + 1] = after
    return table


_NEXT: Final = _next_states()

NEEDED: Final[NDArray[np.int64]] = np.where(_NEXT == _INVALID, np.iinfo(np.int64).max, _MISSING[_NEXT])
"""Bytes that a character still lacks once a byte was written, shape (states, 256); huge where it cannot follow."""


def advance(state: int, byte: int) -> int:
    """The state after a byte; one that cannot follow begins a character anew, or is passed over."""
    after = int(_NEXT[state, byte])
    if after == _INVALID:
        after = int(_NEXT[START, byte])
    return START if after == _INVALID else after


def complete(content: bytes) -> int:
    """Length of the longest beginning of ``content`` that does not end inside a character."""
    return codecs.utf_8_decode(content, "replace", False)[1]
