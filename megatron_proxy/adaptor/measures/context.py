"""Whole windows under context parallelism, where each rank holds two pieces of every window.

Megatron cuts a window into 2 N pieces for N ranks and gives rank r the pieces r and 2 N - 1 - r, so that causal
attention is balanced. What an id is can depend on specials in another rank's pieces: ids are gathered (they are small
beside the activations), looked at whole, and the rank's own part of the answer is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def whole_windows(function: Callable[[Tensor], Tensor], ids: Tensor) -> Tensor:
    """Apply ``function`` to whole windows of ids and return the part that belongs to this rank.

    Parameters
    ----------
    function
        From ids of shape (windows, length) to a tensor of that shape.
    ids
        This rank's pieces, shape (windows, length / N); the ranks of a context-parallel group call this together.
    """
    size = ranks()
    if size == 1:
        return function(ids)
    from megatron.core import mpu

    own = ids.contiguous()
    # One tensor for all: NCCL would copy each rank's part into one of its own. Neither is it to have the ids' strides.
    parts = own.new_empty((size * own.shape[0], own.shape[1]))
    torch.distributed.all_gather_into_tensor(parts, own, group=mpu.get_context_parallel_group())
    return own_pieces(function(join_pieces(parts.chunk(size))), mpu.get_context_parallel_rank(), size)


def ranks() -> int:
    """The number of context-parallel ranks; 1 where Megatron's groups are not made."""
    from megatron.core import mpu

    return max(1, mpu.get_context_parallel_world_size())


def join_pieces(parts: Sequence[Tensor]) -> Tensor:
    """Whole windows from the parts of all ranks, in the order of the ranks."""
    early, late = zip(*(part.chunk(2, dim=-1) for part in parts), strict=True)
    return torch.cat([*early, *reversed(late)], dim=-1)


def own_pieces(windows: Tensor, rank: int, size: int) -> Tensor:
    """The part of whole windows that one rank holds."""
    pieces = windows.chunk(2 * size, dim=-1)
    return torch.cat([pieces[rank], pieces[2 * size - 1 - rank]], dim=-1)
