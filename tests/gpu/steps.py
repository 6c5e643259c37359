"""The steps in their order: what each shows, and the seconds that it may take."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness import Row
    from settings import Settings


@dataclass(frozen=True)
class Step:
    """One step.

    Attributes
    ----------
    name
        What it is called in tables, and on the command line.
    work
        ``MODULE.FUNCTION``, which yields what it finds, as it finds it. Only the step's own process need load it.
    seconds
        When it is ended, come what may.
    needs
        Steps without whose results it has nothing to do.
    compiled
        Whether Megatron's fused functions are compiled: for what is timed alone, as at a process's start it takes long.
    """

    name: str
    work: str
    seconds: float
    needs: tuple[str, ...] = ()
    compiled: bool = False

    def load(self) -> Callable[[Settings], Iterator[Row]]:
        """The function."""
        module, function = self.work.split(".")
        loaded: Any = getattr(importlib.import_module(module), function)
        return loaded


_ALL = (
    Step("hooks", "kernels.hooks", 45),
    Step("losses", "losses.against_the_cpu", 60),
    Step("speed", "speed.first", 90, compiled=True),
    Step("speed-large", "speed.second", 100, compiled=True),
    Step("formats", "kernels.formats", 30),
    Step("checkpoint", "checkpoint.onwards", 90, needs=("losses",)),
    Step("neural", "neural.compressor", 60),
    Step("nccl", "kernels.collectives", 30),
    Step("graphs", "losses.with_graphs", 50, needs=("losses",)),
    Step("fsdp", "losses.with_fsdp", 50, needs=("losses",)),
    Step("fp8", "losses.in_fp8", 50, needs=("losses",)),
    Step("placement", "placement.compared", 180),
)
STEPS = {step.name: step for step in _ALL}
