"""A training script whose iterations wait for their turn: what bench_step.py and bench_startup.py start.

It runs examples/pretrain_gpt.py with the flags given. Before each iteration it tells its parent, as one line of JSON on
the file descriptor ``BENCH_TELL``, how long the last one took, and waits for one byte on ``BENCH_TURN``. An iteration
is all that the training loop does between two such places: the step itself, with the reading of its data, and the log.
With ``BENCH_ITERATIONS`` a turn is so many of them. In a turn that begins with ``WATCHED`` the host's waits for the GPU
are told too, those of each iteration by place; what that adds to the times is in them.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import runpy
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from megatron.training import training

from megatron_proxy.adaptor import cpu

sys.path.append(str(Path(__file__).parents[1] / "helpers"))

if TYPE_CHECKING:
    from waits import Waits

SCRIPT = Path(__file__).parents[2] / "examples" / "pretrain_gpt.py"
WATCHED = b"w"
"""What a turn begins with whose waits are told."""


class Turns:
    """The child's end of the two pipes."""

    def __init__(self) -> None:
        self._tell, self._turn = int(os.environ["BENCH_TELL"]), int(os.environ["BENCH_TURN"])
        self._iterations = int(os.environ.get("BENCH_ITERATIONS", "1"))
        self._left = 0
        self._cpu: float | None = None
        self._wall = 0.0
        self._watch = contextlib.ExitStack()
        self._waits: Waits | None = None
        self._of_iterations: list[dict[str, int]] = []

    def iteration(self, model: list[Any]) -> None:
        """An iteration begins: the next of a turn, or after the last one the next turn."""
        if self._waits is not None:
            self._of_iterations.append(self._waits.take())
        if not self._left:
            self._wait(model)
            self._left = self._iterations
        self._left -= 1

    def _wait(self, model: list[Any]) -> None:
        """Tell of the turn that has ended (of the start, before the first), and wait for the next one."""
        self._watch.close()
        torch.cuda.synchronize()
        cpu_s, wall_s = time.process_time(), time.perf_counter()
        message: dict[str, Any] = {"started_cpu_s": cpu_s}
        if self._cpu is None:
            message["parameters"] = sum(each.numel() for part in model for each in part.parameters())
        else:
            message |= {"cpu_s": cpu_s - self._cpu, "wall_s": wall_s - self._wall, "peak_bytes": _peak_bytes()}
        if self._waits is not None:
            message["waits"] = self._of_iterations
        self._waits, self._of_iterations = None, []
        os.write(self._tell, json.dumps(message).encode() + b"\n")
        turn = os.read(self._turn, 1)
        if not turn:
            # The parent has seen enough.
            os._exit(0)
        if turn == WATCHED:
            # Not before: the start of the process is timed, too.
            from waits import watched

            self._waits = self._watch.enter_context(watched(gpu=not cpu.installed()))
        self._cpu, self._wall = time.process_time(), time.perf_counter()


def _peak_bytes() -> int:
    """The most memory that was in use so far: the GPU's, or where there is none this process's."""
    if cpu.installed():
        return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return torch.cuda.max_memory_allocated()


def in_turns(train_step: Callable[..., Any]) -> Callable[..., Any]:
    """Megatron's ``train_step``, which waits first."""
    turns = Turns()

    def wrapped(forward_step_func: Any, data_iterator: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
        turns.iteration(model)
        return train_step(forward_step_func, data_iterator, model, *args, **kwargs)

    return wrapped


training.train_step = in_turns(training.train_step)
runpy.run_path(str(SCRIPT), run_name="__main__")
