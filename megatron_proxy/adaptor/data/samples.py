"""One sample as Megatron wants it: tokens, labels, masks and positions, with the keys of stock's GPTDataset."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...data.sampling import masks


class Sampler:
    """Makes samples from windows, as Megatron's GPTDatasetConfig asks; what is the same for all is made once."""

    def __init__(self, config: Any) -> None:
        self._packed: bool = getattr(config, "inter_document_masking", False)
        self._mask_eos: bool = config.eod_mask_loss
        self._reset_positions: bool = config.reset_position_ids or self._packed
        self._reset_attention: bool = config.reset_attention_mask
        self._with_attention_mask: bool = config.create_attention_mask and not self._packed
        self._positions = torch.arange(config.sequence_length)
        self._triangle: Tensor | None = None

    def sample(self, window: NDArray[np.int64], counts: bool) -> dict[str, Tensor]:
        """The sample of one window.

        Parameters
        ----------
        window
            int64, shape (seq_length + 1,).
        counts
            Whether its losses count; a sample that only fills up a batch has a loss mask of zeros.
        """
        tokens, labels = window[:-1], window[1:]
        loss_mask = torch.from_numpy(masks.loss_mask(tokens, labels, mask_eos=self._mask_eos))
        sample = {
            "tokens": torch.from_numpy(tokens),
            "labels": torch.from_numpy(labels),
            "loss_mask": loss_mask if counts else torch.zeros_like(loss_mask),
            "position_ids": torch.from_numpy(masks.position_ids(tokens)) if self._reset_positions else self._positions,
        }
        if self._packed:
            borders, longest = masks.cumulative_lengths(tokens)
            sample |= {"cu_seqlens": torch.from_numpy(borders), "max_seqlen": torch.tensor(longest)}
        if self._with_attention_mask:
            sample["attention_mask"] = self._attention_mask(tokens)
        return sample

    def _attention_mask(self, tokens: NDArray[np.int64]) -> Tensor:
        """True at [0, i, j] where place i must not see place j: bool, shape (1, seq_length, seq_length)."""
        if self._reset_attention:
            return torch.from_numpy(masks.attention_mask(tokens))
        if self._triangle is None:
            # Stock's GPTDataset keeps one too; made here, so that workers that are never asked do not hold one.
            size = len(tokens)
            self._triangle = torch.ones(1, size, size, dtype=torch.bool).triu(1)
        return self._triangle
