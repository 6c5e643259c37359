"""Prove the GPU path: steps in processes of their own, each within its time, most telling first.

    tests/gpu/run.sh [--cpu] [--minutes 8] [--only STEP …] [--output build/gpu/results]

One machine with one GPU and no network; what it needs is made beforehand by ``make gpu-wheels`` and ``make gpu-data``.
With ``--cpu`` the same steps run on the CPU at toy size, which finds mistakes in them before a GPU's minutes are spent.

Written after each step: ``results.json``, ``table.md``, ``log.txt``. A step that crashes, or hangs until its time is
up, costs that time only; what it had found by then is kept. The exit code is 1 if a step failed or missed a goal.
"""

from __future__ import annotations

import argparse
import importlib
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

from results import Outcome, Results, State, judged, load_rows, save_rows
from settings import COMPLETE, ROOT, Settings, Skipped
from steps import STEPS, Step

# isort: split
import training
from harness import Row, machine

BUILD = ROOT / "build" / "gpu"
ALONE = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1"}
ALONE |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
"""What torchrun would set for a job of one process; the system picks the port, so that several may run at once."""
_FEWEST_SECONDS = 5
"""With less left a step is not begun."""
_PATIENCE = 4
"""A CPU may have other work: there a step may take so many times as long."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cpu", action="store_true", help="on the CPU, at toy size")
    parser.add_argument("--minutes", type=float, default=8.0, help="no step goes on for longer than until then")
    parser.add_argument("--only", nargs="+", choices=STEPS, metavar="STEP", help=f"some of: {', '.join(STEPS)}")
    parser.add_argument("--data", type=Path, default=BUILD / "data", help="what `make gpu-data` made (%(default)s)")
    parser.add_argument("--output", type=Path, default=BUILD / "results", help="for the results (%(default)s)")
    args = parser.parse_args()
    end = time.monotonic() + 60 * args.minutes
    names = [name for name in STEPS if args.only is None or name in args.only]
    if not (args.cpu or (args.data / COMPLETE).exists()):
        raise SystemExit(f"there is no data in {args.data}: `make gpu-data` makes it")
    os.environ.update(ALONE)
    with tempfile.TemporaryDirectory(prefix="gpu-") as folder:
        work = Path(folder)
        settings = Settings(args.cpu, work / "data" if args.cpu else args.data.absolute(), work)
        if args.cpu:
            make_ready(settings, names)
        results = Results(args.output, about(args.cpu), names)
        for name in names:
            log = work / f"{name}.txt"
            outcome = take(STEPS[name], settings, log, end - time.monotonic())
            results.add(outcome, log.read_text(errors="replace") if log.exists() else "")
            print(f"{outcome.name:12} {outcome.state:14} {outcome.seconds:5.0f} s  {outcome.reason}", flush=True)
        training.close()
    print(f"\n{results.table()}")
    return int(results.failed())


def make_ready(settings: Settings, names: list[str]) -> None:
    """Make the data at toy size, and load the steps once for all: their processes are forked from this one."""
    importlib.import_module("data").make(settings)
    for name in names:
        STEPS[name].load()


def about(cpu: bool) -> dict[str, Any]:
    """Where and how the steps run. The GPU is asked by a tool of its own: this process must leave it alone."""
    gpu = None
    if not cpu:
        query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
        with suppress(OSError):
            gpu = subprocess.run(query, capture_output=True, text=True, check=False).stdout.strip()
    return {"machine": machine(), "gpu": gpu, "size": "toy, on the CPU" if cpu else "full"}


def take(step: Step, settings: Settings, log: Path, left: float) -> Outcome:
    """Do a step, if there is time and what it needs is there."""
    if missing := [name for name in step.needs if not (settings.work / f"{name}.done").exists()]:
        why = f"needs the step {', '.join(missing)}, which did not come to its end"
        return Outcome(step.name, State.SKIPPED, reason=why)
    if left < _FEWEST_SECONDS:
        return Outcome(step.name, State.NOT_REACHED, reason="the time was up")
    rows, reason = settings.work / f"{step.name}.json", settings.work / f"{step.name}.reason"
    # A GPU that a process has cannot be its forked child's; on the CPU a fork has torch loaded.
    context = multiprocessing.get_context("fork" if settings.cpu else "spawn")
    process = context.Process(target=in_a_process, args=(step.name, settings, log, rows, reason))
    training.load()
    begin = time.monotonic()
    process.start()
    process.join(min(step.seconds * (_PATIENCE if settings.cpu else 1), left))
    seconds = time.monotonic() - begin
    timed_out = process.exitcode is None
    _end(process)
    found = load_rows(rows)
    if timed_out:
        # On the CPU a run of the step's may be another process's child.
        training.close(midway=True)
        return Outcome(step.name, State.TIMED_OUT, seconds, f"after {seconds:.0f} s", found)
    if reason.exists():
        return Outcome(step.name, State.SKIPPED, seconds, reason.read_text(), found)
    if process.exitcode:
        return Outcome(step.name, State.FAILED, seconds, _last_line(log) or f"exit code {process.exitcode}", found)
    (settings.work / f"{step.name}.done").touch()
    return judged(step.name, seconds, found)


def in_a_process(name: str, settings: Settings, log: Path, rows: Path, reason: Path) -> None:
    """What the process of a step does: all that it prints goes to ``log``, what it finds to ``rows``."""
    # So that all that the step starts can be ended with it.
    os.setsid()
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.chdir(settings.work)
    if not STEPS[name].compiled:
        os.environ["TORCHDYNAMO_DISABLE"] = "1"
    found: list[Row] = []
    try:
        for row in STEPS[name].load()(settings):
            found.append(row)
            save_rows(rows, found)
    except Skipped as skipped:
        reason.write_text(str(skipped))
    except BaseException:
        traceback.print_exc()
        sys.exit(1)


def _end(process: Any) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.join()


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").split("\n") if log.exists() else []
    return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "")


if __name__ == "__main__":
    sys.exit(main())
