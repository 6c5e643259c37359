"""Keys and values of the ids that a model has read already."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Cache:
    """What the rows of a batch have read; rows may be of different lengths.

    Parameters
    ----------
    keys, values
        Per layer, shape (rows, groups, capacity, head_dim).
    lengths
        int64, shape (rows,): ids read so far.
    formats
        int64, shape (rows,): the format in force after them (0 outside a view, 1 raw, 2 compressed).
    outputs
        The decoder's for what was read, shape (rows, 1, capacity, hidden); None where no layer goes on from them.
    ahead
        What that layer has read.
    """

    keys: list[Tensor]
    values: list[Tensor]
    lengths: Tensor
    formats: Tensor
    outputs: Tensor | None = None
    ahead: Cache | None = None

    @property
    def capacity(self) -> int:
        """The most ids that a row can hold."""
        return self.keys[0].shape[2]

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.lengths.shape[0]

    def begin(self, new: int) -> tuple[int | None, int]:
        """Where ``new`` ids would go: the place of the first (None if rows differ), and the longest row after them."""
        longest = int(self.lengths.max())
        start = longest if int(self.lengths.min()) == longest else None
        return start, longest + new

    def store(self, layer: int, keys: Tensor, values: Tensor, begin: tuple[int | None, int]) -> tuple[Tensor, Tensor]:
        """Put new keys and values behind the old ones of a layer; returns all of them, up to the longest row.

        ``keys`` and ``values`` have the shape (rows, groups, new, head_dim); ``begin`` is what :meth:`begin` answered.
        """
        longest = begin[1]
        self._put(self.keys[layer], keys, begin)
        self._put(self.values[layer], values, begin)
        return self.keys[layer][:, :, :longest], self.values[layer][:, :, :longest]

    def store_outputs(self, outputs: Tensor, begin: tuple[int | None, int]) -> None:
        """Put the decoder's outputs, shape (rows, new, hidden), behind the old ones, where they are kept."""
        if self.outputs is not None:
            self._put(self.outputs, outputs[:, None], begin)

    def _put(self, memory: Tensor, fresh: Tensor, begin: tuple[int | None, int]) -> None:
        start, longest = begin
        if start is not None:
            memory[:, :, start:longest] = fresh
        else:
            place = self.lengths[:, None] + torch.arange(fresh.shape[2], device=fresh.device)
            rows = torch.arange(self.rows, device=fresh.device)[:, None]
            # Two index tensors around a slice put the indexed dimensions first.
            memory[rows, :, place] = fresh.transpose(1, 2)

    def rewind(self, lengths: Tensor) -> None:
        """Forget what each row has read beyond so many ids (int64, shape (rows,)), which must be bytes.

        What lies behind a row's length is masked, and will be written over.
        """
        self.lengths = lengths

    def keep(self, rows: Tensor) -> None:
        """Keep only some rows, in the given order (int64 row numbers)."""
        self.keys = [memory[rows] for memory in self.keys]
        self.values = [memory[rows] for memory in self.values]
        self.lengths, self.formats = self.lengths[rows], self.formats[rows]
        if self.outputs is not None and self.ahead is not None:
            self.outputs = self.outputs[rows]
            self.ahead.keep(rows)
