"""A GPU that is not there, for tests of what would make a GPU and its host wait for each other.

Inside :func:`on_gpu` tensors have shapes, dtypes and devices but no values (torch's ``FakeTensorMode``), so
``device="cuda"`` needs no GPU. Every operation is looked at: one whose result the host must wait for, a copy between
host and GPU, and any tensor on the host raise :class:`OffGpuError`.
"""

import contextlib

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
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
INDEXING = {ATEN.index, ATEN.index_put, ATEN.index_put_}


class OffGpuError(AssertionError):
    """An operation that a GPU cannot do while its host goes on."""


class Watch(TorchDispatchMode):
    """Looks at every operation."""

    def __init__(self):
        super().__init__()
        self._looking = True

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if self._looking and is_awaited(func.overloadpacket, args):
            raise OffGpuError(f"the host waits for {func}")
        result = func(*args, **(kwargs or {}))
        if self._looking and (on_host := [leaf for leaf in tree_leaves((args, kwargs, result)) if is_on_host(leaf)]):
            raise OffGpuError(f"{func} has tensors on the host: {on_host}")
        return result

    @contextlib.contextmanager
    def unwatched(self):
        """For what is done once, at the start."""
        self._looking = False
        yield
        self._looking = True


def is_awaited(operation, args):
    by_mask = operation in INDEXING and any(index is not None and index.dtype == torch.bool for index in args[1])
    return by_mask or operation in AWAITED


def is_on_host(value):
    return isinstance(value, torch.Tensor) and value.device.type != "cuda"


@contextlib.contextmanager
def on_gpu():
    """Gives the watch."""
    with FakeTensorMode(), Watch() as watch:
        yield watch
