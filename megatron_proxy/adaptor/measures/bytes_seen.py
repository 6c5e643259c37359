"""Source bytes that a run has read, per view: a function of the samples consumed, taken from the plans."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

_STRETCH: Final = 1 << 18


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
        """How many of the first ``samples`` samples each dataset of the blend gives.

        A blend numbers the samples of each dataset as it takes them, so a dataset's last sample tells. It is looked for
        from the end, back to where the last call has counted: a run resumed at its billionth sample reads few.
        """
        index, numbers = self._dataset.dataset_index, self._dataset.dataset_sample_index
        if samples < self._samples:
            self._samples = 0
            self._counts[:] = 0
        end, unseen = min(samples, len(index)), np.ones(len(self._counts), dtype=bool)
        while end > self._samples and unseen.any():
            begin = max(self._samples, end - _STRETCH)
            found, back = np.unique(index[begin:end][::-1], return_index=True)
            new = unseen[found]
            self._counts[found[new]] = numbers[end - 1 - back[new]] + 1
            unseen[found] = False
            end = begin
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
