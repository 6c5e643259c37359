"""The strings that tokens stand for: from codes (a literal byte, or 256 + id) back to bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ...common.jit import jit
from ...vocab import NUM_BYTES

_HEAD_BYTES: Final = 8


class TokenStrings:
    """A table of strings.

    Parameters
    ----------
    tokens
        The bytes that each token stands for, by id; empty for tokens that stand for nothing.
    """

    def __init__(self, tokens: Sequence[bytes]) -> None:
        self.sizes = np.fromiter(map(len, tokens), dtype=np.int64, count=len(tokens))
        """int64: how many bytes each token stands for."""
        self._ends = np.concatenate([[0], np.cumsum(self.sizes)])
        self._bytes = np.frombuffer(b"".join(tokens), dtype=np.uint8)
        self._heads = _heads(self._bytes, self._ends[:-1])

    def __len__(self) -> int:
        """How many tokens there are."""
        return len(self.sizes)

    def sizes_of(self, codes: NDArray[np.int32]) -> NDArray[np.int64]:
        """How many bytes each code stands for."""
        sizes = np.ones(len(codes), dtype=np.int64)
        symbols = codes >= NUM_BYTES
        sizes[symbols] = self.sizes[codes[symbols] - NUM_BYTES]
        return sizes

    def spoken(self, codes: NDArray[np.int32]) -> NDArray[np.int32]:
        """Those of the codes that stand for something, which control tokens do not."""
        return codes[self.sizes_of(codes) > 0]

    def bytes_of(self, codes: NDArray[np.int32]) -> bytes:
        """What codes that there are stand for."""
        size = _total_bytes(codes, self.sizes)
        out = np.empty(size + _HEAD_BYTES, dtype=np.uint8)
        _join(codes, self._heads, self._bytes, self._ends, out)
        return out[:size].tobytes()


def literals(content: bytes) -> NDArray[np.int32]:
    """Every byte as a literal code."""
    return np.frombuffer(content, dtype=np.uint8).astype(np.int32)


@jit
def _total_bytes(codes: NDArray[np.int32], sizes: NDArray[np.int64]) -> int:
    """How many bytes ``codes`` stand for."""
    total = 0
    for code in codes:
        total += sizes[code - 256] if code >= 256 else 1
    return total


def _heads(token_bytes: NDArray[np.uint8], begins: NDArray[np.int64]) -> NDArray[np.uint64]:
    """The first bytes of each token as one number, the first byte lowest; behind short ones there is anything."""
    padded = np.append(token_bytes, np.zeros(_HEAD_BYTES, dtype=np.uint8))
    heads: NDArray[np.uint64] = padded[begins[:, None] + np.arange(_HEAD_BYTES)].view("<u8").ravel()
    return heads


@jit
def _join(
    codes: NDArray[np.int32],
    heads: NDArray[np.uint64],
    token_bytes: NDArray[np.uint8],
    token_ends: NDArray[np.int64],
    out: NDArray[np.uint8],
) -> None:
    """Put down what codes stand for; ``out`` has room for a head more.

    Most tokens are short: a head is put down whole, in one instruction, and the next token over what was too much.
    Loops over so few bytes would take five times as long, and indices that may be negative would undo it.
    """
    one = np.uint64(1)
    place = np.uint64(0)
    for code in codes:
        if code < 256:
            out[place] = code
            place += one
            continue
        symbol = np.uint64(code - 256)
        begin = np.uint64(token_ends[symbol])
        size = np.uint64(token_ends[symbol + one]) - begin
        head = heads[symbol]
        for i in range(8):
            out[place + np.uint64(i)] = np.uint8((head >> np.uint64(8 * i)) & np.uint64(255))
        for i in range(np.uint64(8), size):
            out[place + np.uint64(i)] = token_bytes[begin + np.uint64(i)]
        place += size
