"""A GPU that is not there, for tests of what would make a GPU and its host wait for each other.

Inside :func:`on_gpu` tensors have shapes, dtypes and devices but no values (torch's ``FakeTensorMode``), so
``device="cuda"`` needs no GPU. Every operation is looked at: one whose result the host must wait for, a copy between
host and GPU, and any tensor on the host raise :class:`OffGpuError`. What a GPU would have to do is counted.

:func:`a_rank_of` adds a job of many ranks of which this process is one (torch's fake process group): its collectives
give back what they are given.
"""

import contextlib

import numpy as np
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.testing._internal.distributed.fake_pg import FakeStore
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

ATEN = torch.ops.aten
# The host waits for what these find, if only to know the size of their result.
AWAITED = {
    ATEN._local_scalar_dense,
    ATEN._unique2,
    ATEN.allclose,
    ATEN.bincount,
    ATEN.equal,
    ATEN.masked_select,
    ATEN.nonzero,
    ATEN.repeat_interleave,
    ATEN.unique_consecutive,
    ATEN.unique_dim,
}
# These only name memory, whatever their schemas say.
ALLOCATING = {
    ATEN._unsafe_view,
    ATEN.empty,
    ATEN.empty_like,
    ATEN.empty_strided,
    ATEN.new_empty,
    ATEN.new_empty_strided,
}
INDEXING = {ATEN.index, ATEN.index_put, ATEN.index_put_}


class OffGpuError(AssertionError):
    """An operation that a GPU cannot do while its host goes on."""


class Watch(TorchDispatchMode):
    """Looks at every operation.

    Attributes
    ----------
    kernels
        Names of what was launched on the GPU: of all operations but views and allocations.
    collectives
        Names of what ranks did together, also where nobody looks.
    """

    def __init__(self):
        super().__init__()
        self._looking = True
        self.kernels = []
        self.collectives = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if self._looking and is_awaited(func.overloadpacket, args):
            raise OffGpuError(f"the host waits for {func}")
        result = func(*args, **(kwargs or {}))
        if self._looking and (on_host := [leaf for leaf in tree_leaves((args, kwargs, result)) if is_on_host(leaf)]):
            raise OffGpuError(f"{func} has tensors on the host: {on_host}")
        name = func.overloadpacket.__name__
        if func.namespace == "c10d":
            self.collectives.append(name)
        elif self._looking and is_kernel(func):
            self.kernels.append(name)
        return result

    @contextlib.contextmanager
    def unwatched(self):
        """For what is done once, at the start."""
        self._looking = False
        try:
            yield
        finally:
            self._looking = True


def is_awaited(operation, args):
    by_mask = operation in INDEXING and any(index is not None and index.dtype == torch.bool for index in args[1])
    return by_mask or operation in AWAITED


def is_kernel(func):
    returns = func._schema.returns
    # What only gives back memory that it was given, and did not write to it.
    view = bool(returns) and all(one.alias_info is not None and not one.alias_info.is_write for one in returns)
    return func.namespace == "aten" and not view and func.overloadpacket not in ALLOCATING


def is_on_host(value):
    return isinstance(value, torch.Tensor) and value.device.type != "cuda"


class Host(list):
    """Figures that have come to the host, as a tensor has them."""

    def split(self, sizes):
        ends = np.cumsum(sizes)
        return [Host(self[end - size : end]) for size, end in zip(sizes, ends, strict=True)]

    def tolist(self):
        return self


@contextlib.contextmanager
def on_gpu():
    """Gives the watch."""
    with FakeTensorMode(), Watch() as watch:
        yield watch


@contextlib.contextmanager
def a_rank_of(world_size, rank, **parallel):
    """Megatron's groups of a job of ``world_size`` ranks, seen from one of them; ``parallel`` as Megatron names it."""
    from megatron.core import mpu

    torch.distributed.init_process_group("fake", store=FakeStore(), rank=rank, world_size=world_size)
    try:
        mpu.initialize_model_parallel(**parallel, create_gloo_process_groups=False)
        yield
    finally:
        mpu.destroy_model_parallel()
        torch.distributed.destroy_process_group()
