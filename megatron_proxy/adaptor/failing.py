"""How a mistake of the user's ends a process: with its message alone, and with all other ranks of the job.

A rank that has failed must be gone, or the others wait for it in their next collective until that times out. Threads
and child processes that are still there (writers of checkpoints, loaders) would keep Python from ending.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any

from ..errors import ProxyError
from .checks import scripts


def with_messages(previous: Callable[..., None]) -> Callable[..., None]:
    """``sys.excepthook`` that ends the process with a ProxyError's message: a traceback would bury what to do."""

    def show(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        if issubclass(kind, ProxyError):
            # torch's own hook calls this one with another standard error, of which nothing is left if we end here.
            print(message(error, os.environ), file=sys.__stderr__ or sys.stderr, flush=True)
            _end_with_the_group()
        else:
            previous(kind, error, traceback)
            if line := scripts.hint(error):
                print(f"megatron_proxy: {line}", file=sys.__stderr__ or sys.stderr, flush=True)

    return show


def message(error: BaseException, environ: Mapping[str, str]) -> str:
    """What is printed of an error; in a job of several processes with host and rank."""
    size = int(environ.get("WORLD_SIZE", "1"))
    where = f" (rank {environ.get('RANK', '?')} of {size}, {socket.gethostname()})" if size > 1 else ""
    return f"megatron_proxy: error{where}: {error}"


def _end_with_the_group() -> None:
    """End this process, if it is one of a group that may be waiting for it."""
    distributed: Any = sys.modules.get("torch.distributed")
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return
    if distributed.get_world_size() == 1:
        return
    # NCCL's communicators are given up; gloo's connections close with the process, which the others notice.
    with suppress(Exception):
        distributed.distributed_c10d._abort_process_group()
    sys.stdout.flush()
    os._exit(1)
