"""Process groups on a CPU: ``nccl`` becomes ``gloo``, and a process without torchrun becomes a group of one."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

import torch.distributed


def install() -> None:
    """Patch the two functions that name a backend; set the variables that torchrun would set."""
    if not torch.distributed.is_available():
        raise RuntimeError("this torch was built without torch.distributed, which Megatron needs")
    distributed: Any = torch.distributed
    for name in ("init_process_group", "new_group"):
        patched = _with_gloo(getattr(distributed, name))
        setattr(distributed, name, patched)
        setattr(distributed.distributed_c10d, name, patched)
    _be_a_group_of_one()


def _with_gloo(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def with_gloo(*args: Any, **kwargs: Any) -> Any:
        args = tuple("gloo" if argument == "nccl" else argument for argument in args)
        backend = kwargs.get("backend")
        if isinstance(backend, str) and "nccl" in backend:
            kwargs["backend"] = "gloo"
        kwargs.pop("device_id", None)
        return function(*args, **kwargs)

    return with_gloo


def _be_a_group_of_one() -> None:
    if "RANK" in os.environ:
        return
    alone = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1"}
    # Port 0: one that is free when the store takes it. Nobody else needs to know.
    for name, value in (alone | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}).items():
        os.environ.setdefault(name, value)
