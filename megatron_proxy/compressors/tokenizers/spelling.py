"""Tokens written as the bytes of their numbers, big-endian; literals stay literals. Controls of the paper.

The number of a token is its id, or the Gray code of its rank among all tokens in alphabetical order, so that similar
strings get similar bytes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...common.jit import jit
from ...errors import CompressorError
from ...vocab import NUM_BYTES


class Spelling:
    """Codes of tokens to codes of bytes, and back.

    Parameters
    ----------
    tokens
        The bytes that each token stands for, by id.
    gray
        Whether numbers are Gray codes.
    """

    def __init__(self, tokens: Sequence[bytes], *, gray: bool) -> None:
        self.width = max(1, ((len(tokens) - 1).bit_length() + 7) // 8)
        """How many bytes a number has."""
        self._numbers = np.arange(len(tokens), dtype=np.int32)
        if gray:
            ranked = sorted(range(len(tokens)), key=lambda id_: (tokens[id_], id_))
            self._numbers[ranked] = self._numbers ^ (self._numbers >> 1)

    def write(self, codes: NDArray[np.int32]) -> NDArray[np.int32]:
        """Symbols below 256, ``width`` for each token."""
        tokens = codes >= NUM_BYTES
        sizes = np.where(tokens, self.width, 1)
        out = np.repeat(codes, sizes)
        shifts = 8 * np.arange(self.width)[::-1]
        numbers = self._numbers[codes[tokens] - NUM_BYTES]
        out[np.repeat(tokens, sizes)] = NUM_BYTES + (numbers[:, None] >> shifts & 255).ravel()
        return out

    def read(self, codes: NDArray[np.int32]) -> NDArray[np.int32]:
        """The inverse of :meth:`write`.

        Raises
        ------
        CompressorError
            If bytes are no token's number.
        """
        ids = np.full(int(self._numbers.max(initial=0)) + 1, -1, dtype=np.int32)
        ids[self._numbers] = np.arange(len(self._numbers), dtype=np.int32)
        out = np.empty(len(codes), dtype=np.int32)
        count = _unspell(codes, ids, self.width, out)
        if count < 0:
            raise CompressorError("these bytes are no token's number", where=f"code {-1 - count}")
        return out[:count]


@jit
def _unspell(codes: NDArray[np.int32], ids: NDArray[np.int32], width: int, out: NDArray[np.int32]) -> int:
    """Number of codes written to ``out``, or ``-1 - place`` of what cannot be read."""
    count = 0
    at = 0
    while at < len(codes):
        if codes[at] < 256:
            out[count] = codes[at]
            count += 1
            at += 1
            continue
        number = 0
        for i in range(width):
            if at + i >= len(codes) or codes[at + i] < 256:
                return -1 - at
            number = (number << 8) | (codes[at + i] - 256)
        if number >= len(ids) or ids[number] < 0:
            return -1 - at
        out[count] = 256 + ids[number]
        count += 1
        at += width
    return count
