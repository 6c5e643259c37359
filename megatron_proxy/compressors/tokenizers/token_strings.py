"""The strings that tokens stand for: from codes (a literal byte, or 256 + id) back to bytes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...vocab import NUM_BYTES
from ..words import PADDING, joined


class TokenStrings:
    """A table of strings.

    Parameters
    ----------
    tokens
        The bytes that each token stands for, by id; empty for tokens that stand for nothing.
    """

    def __init__(self, tokens: Sequence[bytes]) -> None:
        sizes = np.fromiter(map(len, tokens), dtype=np.int64, count=len(tokens))
        self.sizes = np.concatenate([np.ones(NUM_BYTES, dtype=np.int64), sizes])
        """int64, shape (256 + tokens,): how many bytes each code stands for."""
        self._begins = np.cumsum(self.sizes) - self.sizes
        self._text = np.frombuffer(b"".join((bytes(range(NUM_BYTES)), *tokens, PADDING)), dtype=np.uint8)

    def sizes_of(self, codes: NDArray[np.int32]) -> NDArray[np.int64]:
        """How many bytes each code stands for."""
        return self.sizes[codes]

    def spoken(self, codes: NDArray[np.int32]) -> NDArray[np.int32]:
        """Those of the codes that stand for something, which control tokens do not."""
        return codes[self.sizes[codes] > 0]

    def bytes_of(self, codes: NDArray[np.int32]) -> bytes:
        """What codes that there are stand for."""
        return joined(codes, self._begins, self.sizes, self._text)


def literals(content: bytes) -> NDArray[np.int32]:
    """Every byte as a literal code."""
    return np.frombuffer(content, dtype=np.uint8).astype(np.int32)
