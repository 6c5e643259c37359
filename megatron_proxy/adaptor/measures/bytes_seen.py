"""Source bytes that a run has read, per view: a function of the samples consumed, taken from the plans."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

_STRETCH: Final = 1 << 22


class BytesSeen:
    """Source bytes of the first samples of a training dataset.

    Parameters
    ----------
    dataset
        A :class:`~megatron_proxy.adaptor.data.dataset.ProxyGPTDataset`, a Megatron blend of them, or None on ranks that
        read no data.
    """

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset
        self._samples = 0
        self._counts: NDArray[np.int64] = np.zeros(len(getattr(dataset, "datasets", ())), dtype=np.int64)

    def after(self, samples: int) -> tuple[int, int]:
        """Source bytes read in the raw and in the compressed view after the first ``samples`` samples."""
        if not hasattr(self._dataset, "datasets"):
            raw, compressed = self._dataset.plan.source_bytes_after(samples)
            return int(raw), int(compressed)
        parts = [
            one.plan.source_bytes_after(int(count))
            for one, count in zip(self._dataset.datasets, self._count(samples), strict=True)
        ]
        return sum(raw for raw, _ in parts), sum(compressed for _, compressed in parts)

    def _count(self, samples: int) -> NDArray[np.int64]:
        """How many of the first ``samples`` samples each dataset of the blend gives, counted on from the last call."""
        if samples < self._samples:
            self._samples = 0
            self._counts[:] = 0
        # A run resumed at its billionth sample must not count with eight bytes for each of them.
        for begin in range(self._samples, samples, _STRETCH):
            index = self._dataset.dataset_index[begin : min(begin + _STRETCH, samples)]
            self._counts += np.bincount(index, minlength=len(self._counts))
        self._samples = samples
        return self._counts


def for_last_rank(seen: BytesSeen, samples: int) -> torch.Tensor:
    """What :meth:`BytesSeen.after` says, on the rank that writes the logs: float64, shape (2,), on the GPU.

    With tensor parallelism the last rank reads no data, but the first rank of its group does. Only that group takes
    part (others get zeros), and nobody waits.
    """
    from megatron.core import mpu

    group = mpu.get_tensor_model_parallel_group()
    ranks = torch.distributed.get_process_group_ranks(group)
    values = torch.zeros(2, dtype=torch.float64, device="cuda")
    if torch.distributed.get_world_size() - 1 not in ranks:
        return values
    if torch.distributed.get_rank() == ranks[0]:
        # Filled, not copied: a copy from the host would wait.
        for value, count in zip(values, seen.after(samples), strict=True):
            value.fill_(count)
    if len(ranks) > 1:
        torch.distributed.broadcast(values, src=ranks[0], group=group)
    return values


def is_last_rank() -> bool:
    """Whether this is the rank that prints Megatron's lines and writes to TensorBoard and W&B."""
    return torch.distributed.get_rank() == torch.distributed.get_world_size() - 1
