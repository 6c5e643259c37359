"""What ``torch.cuda`` answers when the CPU stands in for the device: one device per process, no streams, no memory."""

from __future__ import annotations

import contextlib
import os
import time
from collections import defaultdict
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Final, Self

import torch

GENERATOR: Final = torch.Generator(device="cpu")
"""The generator of the "cuda" device; apart from the CPU's, as on a machine with a GPU."""


def _always(answer: Any) -> Callable[..., Any]:
    """A new function each time: torch._dynamo refuses to find one object under two of torch's names."""
    return lambda *_args, **_kwargs: answer


class Stream:
    """A stream that runs everything at once: there is nothing to wait for."""

    cuda_stream = priority = 0
    query = _always(True)
    synchronize = wait_event = wait_stream = __exit__ = _always(None)
    priority_range = staticmethod(_always((0, 0)))

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        self.device = torch.device("cpu")

    def __enter__(self) -> Self:
        return self

    def record_event(self, event: Event | None = None) -> Event:
        """Mark this moment."""
        event = event or Event()
        event.record()
        return event


class Event:
    """A moment in time, which has always happened already."""

    query = _always(True)
    synchronize = wait = _always(None)

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        self._seconds = 0.0

    def record(self, stream: Any = None) -> None:
        """Take the time."""
        self._seconds = time.perf_counter()

    def elapsed_time(self, end: Event) -> float:
        """Milliseconds from this event to ``end``."""
        return (end._seconds - self._seconds) * 1000.0


_CURRENT_STREAM: Final = Stream()


class _NoContext(contextlib.nullcontext[None]):
    """``with torch.cuda.device(i)``, ``with torch.cuda.nvtx.range(name)``."""

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        super().__init__()


def _processes_here() -> int:
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def _properties(*_args: Any, **_kwargs: Any) -> SimpleNamespace:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return SimpleNamespace(
        name="CPU (stand-in for CUDA)",
        major=0,
        minor=0,
        total_memory=memory,
        multi_processor_count=os.cpu_count() or 1,
        warp_size=1,
    )


def _answers() -> dict[str, Any]:
    """Replacements by name in ``torch.cuda``."""
    nothing = (
        *("set_device", "synchronize", "empty_cache", "ipc_collect", "set_stream"),
        *("reset_peak_memory_stats", "reset_max_memory_allocated", "reset_max_memory_cached"),
    )
    zero = (
        *("current_device", "memory_allocated", "memory_reserved", "max_memory_allocated", "max_memory_reserved"),
        *("device_memory_used", "utilization", "temperature", "power_draw", "clock_rate"),
    )
    memory = _properties().total_memory
    return {
        "is_available": _always(True),
        "is_bf16_supported": _always(True),
        "is_current_stream_capturing": _always(False),
        "_is_in_bad_fork": _always(False),
        "device_count": _processes_here,
        "device": _NoContext,
        "get_device_name": lambda *_args: _properties().name,
        "get_device_capability": _always((0, 0)),
        "get_device_properties": _properties,
        "Stream": Stream,
        "Event": Event,
        "current_stream": _always(_CURRENT_STREAM),
        "default_stream": _always(_CURRENT_STREAM),
        "stream": _always(contextlib.nullcontext()),
        # Megatron seeds and forks "cuda" generators by number; torch.cuda.random reads this tuple.
        "default_generators": (GENERATOR,) * _processes_here(),
        "memory_stats": lambda *_args: defaultdict(int),
        "memory_snapshot": lambda *_args: [],
        "mem_get_info": _always((memory, memory)),
        **{name: _always(None) for name in nothing},
        **{name: _always(0) for name in zero},
    }


def install() -> None:
    """Put the answers into ``torch.cuda`` and the modules that took them from it by name."""
    cuda: Any = torch.cuda
    for name, answer in _answers().items():
        for module in (cuda, cuda.memory, cuda.random):
            if module is cuda or hasattr(module, name):
                setattr(module, name, answer)
    # Makes torch's own deferred seeding act at once, also where it was imported before (`from torch.cuda import …`).
    cuda._initialized = True
    for name in ("range_push", "range_pop", "mark"):
        setattr(cuda.nvtx, name, _always(0))
    cuda.nvtx.range = _NoContext
    if hasattr(torch._C, "_cuda_setRNGState"):
        torch._C._cuda_setRNGState = GENERATOR.set_state
    # Loaders ask this before they pin memory, which needs a real device.
    if hasattr(torch, "accelerator"):
        torch.accelerator.is_available = _always(False)
