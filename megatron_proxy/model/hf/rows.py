"""The rows of the embedding and of the output layer of a checkpoint that begins from a folder's.

A model of specials and bytes has the first 320 rows; of a model over tokens:

* symbols are its tokens, row for row;
* a byte begins as the token of that byte alone where there is one, else as the mean of the tokens that begin with it,
  else as the mean of all;
* ``<compressed>`` and ``<bos>`` begin as the token that opens a text, ``</compressed>`` and ``<eos>`` as the one that
  closes it, ``<pad>`` as the one that pads, the other specials as the mean of all tokens.

What is left (symbols that a folder does not have, and Megatron's padding) is drawn as Megatron draws an embedding:
normally, with mean 0 and ``--init-method-std``. A row depends on the seed and its number alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...common import rng
from ...vocab import (
    BOS,
    BYTE_OFFSET,
    COMPRESSED_CLOSE,
    COMPRESSED_OPEN,
    EOS,
    NUM_BYTES,
    NUM_SPECIALS,
    PAD,
    SYMBOL_OFFSET,
)
from .tokens import Special, Tokens

_ROWS_AT_ONCE: Final = 1024


class Bytes(StrEnum):
    """What the rows of bytes begin as, where a model over tokens is imported."""

    TOKENS = "tokens"
    MEAN = "mean"
    DRAWN = "drawn"


@dataclass(frozen=True)
class TokenRows:
    """The rows of a checkpoint's table that begin from a model over tokens.

    Parameters
    ----------
    tokens, special
        What its tokens stand for.
    bytes
        What the rows of bytes begin as, where they are not codes of the tokenizer.
    """

    tokens: Tokens
    special: Special
    bytes: Bytes = Bytes.TOKENS

    @property
    def known(self) -> int:
        """Specials, bytes and tokens: rows from here on are drawn."""
        return SYMBOL_OFFSET + len(self.tokens)

    def fill(self, table: Tensor, rows: Tensor) -> None:
        """Put the folder's rows where they belong, over drawn ones: every row but those that are to stay drawn."""
        rows = rows[: len(self.tokens)]
        mean = _mean(rows, torch.ones(len(rows), dtype=torch.bool))
        table[SYMBOL_OFFSET : self.known] = rows
        table[:NUM_SPECIALS] = mean
        named = {
            **dict.fromkeys((COMPRESSED_OPEN, BOS), self.special.opens),
            **dict.fromkeys((COMPRESSED_CLOSE, EOS), self.special.closes),
            PAD: self.special.pads,
        }
        for id_, token in named.items():
            if token is not None:
                table[id_] = rows[token]
        for byte in range(NUM_BYTES):
            self._fill_byte(table, rows, byte, mean)

    def _fill_byte(self, table: Tensor, rows: Tensor, byte: int, mean: Tensor) -> None:
        place, token = BYTE_OFFSET + byte, int(self.tokens.single[byte])
        # A piece <0xNN> is the byte itself in the view over tokens.
        if token >= 0 and (self.bytes is Bytes.TOKENS or self.tokens.ids[token] == place):
            table[place] = rows[token]
        elif self.bytes is not Bytes.DRAWN:
            beginning = torch.from_numpy(self.tokens.first == byte)
            table[place] = _mean(rows, beginning) if beginning.any() else mean


def _mean(rows: Tensor, which: Tensor) -> Tensor:
    """The mean of some rows, in float32; a part at a time, since a table may be half the memory."""
    total = torch.zeros(rows.shape[1])
    for numbers in torch.split(torch.nonzero(which)[:, 0], _ROWS_AT_ONCE):
        total += rows[numbers].float().sum(0)
    return (total / int(which.sum())).to(rows.dtype)


@dataclass(frozen=True)
class Drawing:
    """How rows are drawn."""

    seed: int
    std: float


def table(tokens: TokenRows | None, rows: Tensor, vocabulary: int, drawing: Drawing, part: int) -> Tensor:
    """A checkpoint's table of ``vocabulary`` rows, Megatron's padding included, from the folder's table ``rows``.

    Those are the first 320 where they are not of ``tokens``. ``part`` is 0 for the embedding, 1 for the output layer:
    their drawn rows differ.
    """
    made = torch.empty(vocabulary, rows.shape[1], dtype=rows.dtype)
    known = SYMBOL_OFFSET if tokens is None else tokens.known
    for first, last in ((0, SYMBOL_OFFSET), (known, vocabulary)):
        for begin in range(first, last, _ROWS_AT_ONCE):
            end = min(begin + _ROWS_AT_ONCE, last)
            made[begin:end] = torch.from_numpy(new_rows(begin, end, rows.shape[1], drawing.seed, part) * drawing.std)
    if tokens is None:
        made[:SYMBOL_OFFSET] = rows
    else:
        tokens.fill(made, rows)
    return made


def new_rows(begin: int, end: int, width: int, seed: int, part: int) -> NDArray[np.float64]:
    """Rows ``begin … end - 1`` of a table of standard normal numbers: float64, shape (end - begin, width).

    By Box and Muller's transform ("A note on the generation of random normal deviates", 1958) of two uniform numbers.
    """
    counters = np.arange(begin * width, end * width, dtype=np.uint64)
    first, second = (rng.uniform(rng.key(seed, rng.Purpose.NEW_ROWS, part, which), counters) for which in (0, 1))
    normal = np.sqrt(-2.0 * np.log1p(-first)) * np.cos(2.0 * np.pi * second)
    return normal.reshape(end - begin, width)
