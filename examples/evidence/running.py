"""Run the cells that are missing, one after the other, each by ``examples/compare.sh``.

A cell that was cut off goes on from its last checkpoint; one that another process is running is left to it, so that two
commands side by side share the grid. Work files lie in one folder; what is kept goes to ``results``.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import results
from grid import COMPRESSORS, Cell
from results import Result

EXAMPLES: Final = Path(__file__).parents[1]
CONFIGURATION: Final = "examples/compare/cpu.env"
SCRIPT: Final = "examples/compare.sh"
_GRACE: Final = 30.0
"""Seconds that a training that is cut off has to end."""


class OutOfTimeError(Exception):
    """The time budget is spent."""


class FailedError(Exception):
    """A command failed; the message tells which, and what it said."""


@dataclass(frozen=True)
class Runner:
    """Runs cells.

    Parameters
    ----------
    folder
        Where corpus, views, checkpoints and logs are kept.
    kept
        Where results go.
    deadline
        When to stop, on the monotonic clock; None for never.
    """

    folder: Path
    kept: Path = results.FOLDER
    deadline: float | None = None

    def run(self, cells: Sequence[Cell]) -> Iterator[Result | FailedError]:
        """Run what is missing; gives each result, or why there is none, as it comes.

        Raises
        ------
        OutOfTimeError
            If the time budget is spent.
        FailedError
            If the corpus cannot be prepared.
        """
        with self._locked("data", wait=True):
            self._prepare()
        for cell in cells:
            with self._locked(cell.name) as mine:
                if not mine or results.has(cell, self.kept):
                    continue
                try:
                    result = self._cell(cell)
                except FailedError as failure:
                    yield failure
                else:
                    results.save(result, self.kept)
                    yield result

    def _prepare(self) -> None:
        """Corpus and views for all cells, and what ``inspect`` says of them."""
        self._command([*self._compare(Cell("bytes")), "prepare"], Cell("bytes").environment())
        if not set(COMPRESSORS) <= set(results.compressors(self.kept)):
            inspect = [sys.executable, "-m", "megatron_proxy", "inspect", str(self._data / "data" / "corpus")]
            told = self._command([*inspect, "--json", "--compressor", *COMPRESSORS], {})
            results.save_compressors(json.loads(told), self.kept)

    def _cell(self, cell: Cell) -> Result:
        began, load = time.monotonic(), os.getloadavg()[0]
        spent = self.folder / "cells" / f"{cell.name}.seconds"
        try:
            self._command(self._compare(cell), cell.environment())
        finally:
            seconds = _number(spent) + time.monotonic() - began
            spent.write_text(f"{seconds:.1f}\n")
        return taken(cell, self.folder / "cells" / cell.name, seconds, [load, os.getloadavg()[0]])

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _compare(self, cell: Cell) -> list[str]:
        work = self.folder / "cells" / cell.name
        return ["bash", str(EXAMPLES / "compare.sh"), str(EXAMPLES / "compare" / "cpu.env"), str(work)]

    def _command(self, command: Sequence[str], environment: Mapping[str, str]) -> str:
        """Run a command on one core within the time; gives what it prints.

        Raises
        ------
        OutOfTimeError
            If it was cut off.
        FailedError
            If it failed.
        """
        given = {"PYTHON": sys.executable, "DATA": str(self._data), "WORKERS": "0", "OMP_NUM_THREADS": "1"}
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        if self.deadline is not None and time.monotonic() >= self.deadline:
            raise OutOfTimeError
        # A process group of its own, so that a training ends with the script that started it.
        process = subprocess.Popen(command, env={**os.environ, **given, **environment}, process_group=0, **pipes)
        try:
            output, told = process.communicate(
                timeout=None if self.deadline is None else self.deadline - time.monotonic()
            )
        except subprocess.TimeoutExpired:
            raise OutOfTimeError from None
        finally:
            _end(process)
        if process.returncode:
            raise FailedError(f"{' '.join(command)}\n{told[-4000:]}")
        return output

    @contextmanager
    def _locked(self, name: str, *, wait: bool = False) -> Iterator[bool]:
        """Hold the lock of some work; whether no other process does."""
        path = self.folder / "cells" / f"{name}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
                return
            yield True


def _end(process: subprocess.Popen[str]) -> None:
    """End a process and those that it started."""
    if process.poll() is not None:
        return
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.communicate(timeout=_GRACE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def _number(path: Path) -> float:
    return float(path.read_text()) if path.exists() else 0.0


def command(cell: Cell) -> str:
    """The command that makes a cell, in words for people; ``FOLDER`` is the folder of the work files."""
    told = " ".join(f"{name}={value}" for name, value in cell.environment().items())
    return f"{told} DATA=FOLDER/data OMP_NUM_THREADS=1 {SCRIPT} {CONFIGURATION} FOLDER/cells/{cell.name}"


_KEPT_FIGURES: Final = (
    "steps",
    "tokens",
    "flops",
    "parameters",
    "parameters_without_embeddings",
    "vocabulary",
    "padded_vocabulary",
    "source_bytes",
    "milliseconds_per_step",
    "training_bpb",
    "validation_bpb",
    "held_out_accuracy",
    "lacks",
)


def taken(cell: Cell, work: Path, seconds: float, load_average: Sequence[float]) -> Result:
    """The result of a cell that ``compare.sh`` has finished in a folder.

    Raises
    ------
    FailedError
        If what was trained is not what the grid says.
    """
    (told,) = json.loads((work / "compare.json").read_text("utf-8"))
    run = work / "runs" / cell.arm.replace(":", "-")
    evaluated = [json.loads(path.read_text("utf-8")) for path in sorted(run.glob("evaluate-*.json"))]
    robustness = run / "robustness.json"
    prompts = json.loads(robustness.read_text("utf-8"))["prompts"] if robustness.exists() else {}
    wanted = (cell.steps, cell.padded, cell.steps * 2048)
    if (told["steps"], told["padded_vocabulary"], told["tokens"]) != wanted:
        raise FailedError(f"{work} has other steps, vocabulary or ids than the grid's {wanted}")
    return Result(
        cell=cell,
        command=command(cell),
        versions=told["about"]["versions"],
        held_out={"bytes": evaluated[0]["bytes"], "documents": evaluated[0]["documents"]},
        bpb={one["view"]: one["bpb"] for one in evaluated},
        figures={name: told[name] for name in _KEPT_FIGURES},
        robustness={name: one["bpb"] for name, one in prompts.items()},
        seconds=round(seconds, 1),
        load_average=[round(load, 2) for load in load_average],
    )
