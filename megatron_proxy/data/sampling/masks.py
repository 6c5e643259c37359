"""Loss masks, position ids, attention masks and document borders of one sample, as Megatron's GPTDataset makes them.

Everything follows from the ids: a document ends at its eos. ``tokens`` are the first ``seq_length`` ids of a window
(the inputs), ``labels`` the last ``seq_length``; both int64, shape (S,).

The two halves of a parallel pair are two documents here, each with its own eos: under reset attention masks or
inter-document masking they never see each other.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...vocab import EOS, PAD


def document_begins(tokens: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where documents begin, 0 first: int64. The end S is no beginning, even where the last token is eos."""
    ends = (tokens[:-1] == EOS).nonzero()[0]
    begins = np.zeros(len(ends) + 1, dtype=np.int64)
    np.add(ends, 1, out=begins[1:])
    return begins


def _begin_of_each(tokens: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where the document of each token begins: int64, shape (S,)."""
    begins = document_begins(tokens)
    return begins.repeat(_sizes(begins, len(tokens)))


def _sizes(begins: NDArray[np.int64], end: int) -> NDArray[np.int64]:
    # np.diff with `append` takes ten times as long.
    sizes = np.empty_like(begins)
    np.subtract(begins[1:], begins[:-1], out=sizes[:-1])
    sizes[-1] = end - begins[-1]
    return sizes


def position_ids(tokens: NDArray[np.int64]) -> NDArray[np.int64]:
    """Positions counted from each document's beginning (``--reset-position-ids``): int64, shape (S,)."""
    positions = np.arange(len(tokens))
    positions -= _begin_of_each(tokens)
    return positions


def attention_mask(tokens: NDArray[np.int64]) -> NDArray[np.bool_]:
    """What must *not* be attended to (``--reset-attention-mask``): bool, shape (1, S, S).

    True at [0, i, j] where j is behind i or in an earlier document.
    """
    columns = np.arange(len(tokens))
    behind = columns[None, :] > columns[:, None]
    behind |= columns[None, :] < _begin_of_each(tokens)[:, None]
    return behind[None]


def loss_mask(tokens: NDArray[np.int64], labels: NDArray[np.int64], *, mask_eos: bool) -> NDArray[np.float32]:
    """1 where a label counts, 0 where it is a pad: float32, shape (S,).

    With ``mask_eos`` (``--eod-mask-loss``) also 0 where the *token* is eos, so that nobody has to guess from the end
    of one document how the next begins.
    """
    counted: NDArray[np.bool_] = labels != PAD
    if mask_eos:
        counted &= tokens != EOS
    return counted.astype(np.float32)


def cumulative_lengths(tokens: NDArray[np.int64]) -> tuple[NDArray[np.int32], np.int32]:
    """Document borders for packed attention (``--dataloader-inter-document-masking``).

    Pads at the end belong to the last document.

    Returns
    -------
    int32, shape (S + 1,): 0, the end of each document, and S for all the rest, so that samples can be stacked; and the
    length of the longest document.
    """
    size = len(tokens)
    begins = document_begins(tokens)
    filled = np.flatnonzero(tokens != PAD)
    begins = begins[begins <= (filled[-1] if len(filled) else 0)]
    borders = np.full(size + 1, size, dtype=np.int32)
    borders[: len(begins)] = begins
    return borders, np.int32(_sizes(begins, size).max())
