"""Tensors that lie in files: a process may then make a model that is larger than the machine's memory.

Their pages belong to a file, so that the kernel writes them out and takes them back as it needs; those of ordinary
tensors it can only keep.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from ...errors import ProxyError

_LEAST: Final = 1 << 20
_EMPTY: Final = torch.ops.aten.empty.memory_format
_CLONE: Final = torch.ops.aten.clone.default


class FileBacked(TorchDispatchMode):
    """While it is entered, large tensors of the CPU that are made empty, or cloned, lie in files.

    Parameters
    ----------
    folder
        Of the files, which have no names: they are gone with their tensors.
    least
        The bytes from which on a tensor is large.

    Raises
    ------
    ProxyError
        If the disk has no room for a tensor.
    """

    def __init__(self, folder: Path, least: int = _LEAST) -> None:
        super().__init__()
        self._folder, self._least = folder, least

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run an operation of torch's; what it makes lies in a file if it is large."""
        if func is _CLONE and self._is_large(args[0]):
            return _in_file(self._folder, args[0]).copy_(args[0])
        made = func(*args, **(kwargs or {}))
        # What nobody has written to takes no memory yet.
        return _in_file(self._folder, made) if func is _EMPTY and self._is_large(made) else made

    def _is_large(self, tensor: Tensor) -> bool:
        return tensor.device.type == "cpu" and tensor.nbytes >= self._least and tensor.is_contiguous()


def _in_file(folder: Path, like: Tensor) -> Tensor:
    """A tensor of the same shape and dtype in a file of its own; what it holds is not said."""
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        try:
            # A page that finds no room on the disk later would end the process by a signal.
            os.posix_fallocate(file.fileno(), 0, like.nbytes)
        except OSError as error:
            raise ProxyError(
                f"no room for a tensor of {like.nbytes:,} bytes beside the checkpoint: {error.strerror}",
                where=str(folder),
                fix="free two and a half times the size of the model there",
            ) from error
        return torch.from_file(file.name, shared=True, size=like.numel(), dtype=like.dtype).view(like.shape)
