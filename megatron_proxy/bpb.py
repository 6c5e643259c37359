"""Bits per byte: the one place where nats become BPB.

The accounting, everywhere in this package:

* Counted are the *labels* that are bytes or symbols. Specials (sentinels, eos, pads) are predicted and learned, but
  neither their nats nor any bytes are counted for them.
* ``raw bpb`` = nats of the labels inside raw views / ln 2 / their number, since each is one byte.
* ``compressed bpb`` = nats of the labels inside compressed views / ln 2 / the *source bytes* that they stand for: a
  literal is one byte, a symbol what :meth:`~megatron_proxy.compressors.base.Compressor.symbol_bytes` says, or, where
  that depends on context, the corpus's mean of source bytes per symbol (bytes that stand as literals left out).

So both are bits per byte of the same text, and can be compared. Sums are taken over ranks and micro-batches before the
division: a mean of ratios would weigh batches, not bytes.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .vocab import BYTE_OFFSET, SYMBOL_OFFSET, Vocabulary


def bits_per_byte(nats: float, source_bytes: float) -> float | None:
    """``nats / ln 2 / source_bytes``; None where there are no bytes, so that no figure is made of nothing.

    Parameters
    ----------
    nats
        Sum of the negative natural log-likelihoods of the labels counted.
    source_bytes
        The bytes that those labels stand for.
    """
    return nats / math.log(2.0) / source_bytes if source_bytes > 0 else None


def bytes_per_id(
    vocabulary: Vocabulary, symbol_bytes: NDArray[np.int32] | None, mean: float = 0.0
) -> NDArray[np.float32]:
    """The source bytes that each id stands for.

    Parameters
    ----------
    vocabulary
        The ids of the run.
    symbol_bytes
        int32, shape (num_symbols,): bytes of each symbol; None where that depends on context.
    mean
        The corpus's mean of source bytes per symbol, used where ``symbol_bytes`` is None.

    Returns
    -------
    float32, shape (vocabulary.size,): 0 for specials, 1 for bytes.
    """
    table = np.zeros(vocabulary.size, dtype=np.float32)
    table[BYTE_OFFSET:SYMBOL_OFFSET] = 1.0
    table[SYMBOL_OFFSET:] = mean if symbol_bytes is None else symbol_bytes
    return table
