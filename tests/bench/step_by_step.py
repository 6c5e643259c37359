"""A training script whose iterations wait for their turn: what bench_step.py and bench_startup.py start.

It runs examples/pretrain_gpt.py with the flags given. Before each iteration it tells its parent, as one line of JSON on
the file descriptor ``BENCH_TELL``, how long the last one took, and waits for one byte on ``BENCH_TURN``. An iteration
is all that the training loop does between two such places: the step itself, with the reading of its data, and the log.
"""

from __future__ import annotations

import json
import os
import runpy
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from megatron.training import training

SCRIPT = Path(__file__).parents[2] / "examples" / "pretrain_gpt.py"


class Turns:
    """The child's end of the two pipes."""

    def __init__(self) -> None:
        self._tell, self._turn = int(os.environ["BENCH_TELL"]), int(os.environ["BENCH_TURN"])
        self._cpu: float | None = None
        self._wall = 0.0

    def wait(self, model: list[Any]) -> None:
        """Tell of the iteration that has ended (of the start, before the first), and wait for the next turn."""
        cpu, wall = time.process_time(), time.perf_counter()
        message: dict[str, float] = {"started_cpu_s": cpu}
        if self._cpu is None:
            message["parameters"] = sum(each.numel() for part in model for each in part.parameters())
        else:
            message |= {"cpu_s": cpu - self._cpu, "wall_s": wall - self._wall}
        os.write(self._tell, json.dumps(message).encode() + b"\n")
        if not os.read(self._turn, 1):
            # The parent has seen enough.
            os._exit(0)
        self._cpu, self._wall = time.process_time(), time.perf_counter()


def in_turns(train_step: Callable[..., Any]) -> Callable[..., Any]:
    """Megatron's ``train_step``, which waits first."""
    turns = Turns()

    def wrapped(forward_step_func: Any, data_iterator: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
        turns.wait(model)
        return train_step(forward_step_func, data_iterator, model, *args, **kwargs)

    return wrapped


training.train_step = in_turns(training.train_step)
runpy.run_path(str(SCRIPT), run_name="__main__")
