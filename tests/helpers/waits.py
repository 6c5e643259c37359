"""Where a host waits for its GPU: which lines of code, and how often in each iteration.

With a GPU torch itself tells (``torch.cuda.set_sync_debug_mode``). Without one, what torch is asked to do is looked at:
the operations whose result a host would have to wait for (:func:`on_gpu.is_awaited`).
"""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from on_gpu import is_awaited
from torch.utils._python_dispatch import TorchDispatchMode

from megatron_proxy.adaptor import cpu

_TOLD = "called a synchronizing CUDA operation"
# What asks for others: torch, this file, and the stand-in for a GPU.
_PASSED_ON = (str(Path(torch.__file__).parent), str(Path(cpu.__file__).parent), __file__)


class Waits(TorchDispatchMode):
    """Counts by ``FILE:LINE``, the file by its last three names; :meth:`take` gives them and begins anew."""

    def __init__(self) -> None:
        super().__init__()
        self._found: Counter[str] = Counter()

    def take(self) -> dict[str, int]:
        """The waits since the last call."""
        found, self._found = dict(self._found), Counter()
        return found

    def add(self, file: str, line: int) -> None:
        """Note a wait."""
        self._found[f"{'/'.join(Path(file).parts[-3:])}:{line}"] += 1

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if is_awaited(func.overloadpacket, args):
            self.add(*_asking())
        return func(*args, **(kwargs or {}))


def _asking() -> tuple[str, int]:
    """The place of the innermost frame that asks for itself."""
    frame = sys._getframe(2)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PASSED_ON):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno


@contextlib.contextmanager
def watched(*, gpu: bool) -> Iterator[Waits]:
    """Gives the counts, which grow while the block runs."""
    waits = Waits()
    with _told_by_torch(waits) if gpu else waits:
        yield waits


@contextlib.contextmanager
def _told_by_torch(waits: Waits) -> Iterator[None]:
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with told(waits):
            yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@contextlib.contextmanager
def told(waits: Waits) -> Iterator[None]:
    """Note torch's warnings of waits, and show all others."""

    def note(message: Any, category: Any, filename: str, lineno: int, file: Any = None, line: Any = None) -> None:
        if _TOLD in str(message):
            waits.add(filename, lineno)
        else:
            shown(message, category, filename, lineno, file, line)

    with warnings.catch_warnings():
        shown, warnings.showwarning = warnings.showwarning, note
        warnings.filterwarnings("always", _TOLD)
        yield
