"""What is waited for before work begins: training up to its first step, and the help of the command line.

    python tests/bench/bench_startup.py [--quick] [--rounds 3]

*Training*: from the start of the process to the end of the first iteration of a tiny model, with the flag and without,
each once with an empty cache folder and once with what the first run left there. Sides by turns; the least of the
rounds, as whatever else the machine does only adds. Processor time is told beside.

*Help*: ``megatron-proxy --help`` and ``megatron-proxy COMMAND --help`` in processes of their own, the least of the
rounds.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness import Row, report
from pretraining import Shape, Training, flags_of, write_data

from megatron_proxy.cli import COMMANDS

TINY = Shape(layers=1, hidden=64, seq_length=128, micro_batch=1, micro_batches=1)
Times = dict[str, list[float]]


def first_step(flags: list[str], folder: Path) -> tuple[float, float]:
    """Wall and processor seconds to the end of the first iteration."""
    training = Training([*TINY.flags, *flags], folder)
    step = training.step()
    training.close()
    return training.started["started_wall_s"] + step["wall_s"], training.started["started_cpu_s"] + step["cpu_s"]


def measure_training(rounds: int) -> Times:
    """Seconds by ``SIDE CACHE wall`` and ``SIDE CACHE cpu``."""
    times: Times = {}
    with tempfile.TemporaryDirectory(prefix="bench-startup-") as name:
        folder = Path(name)
        data = write_data(folder)
        for number in range(rounds):
            for cache in ("empty", "there"):
                for side in ("stock", "ours"):
                    wall, cpu = first_step(flags_of(side, data, folder / f"{side}-{number}"), folder)
                    times.setdefault(f"{side} {cache} wall", []).append(wall)
                    times.setdefault(f"{side} {cache} cpu", []).append(cpu)
    return times


def training_rows(times: Times) -> list[Row]:
    """What the flag adds, for each state of the cache."""
    least = {name: min(values) for name, values in times.items()}
    rows = []
    for cache in ("empty", "there"):
        extra = {kind: least[f"ours {cache} {kind}"] - least[f"stock {cache} {kind}"] for kind in ("wall", "cpu")}
        note = f"stock {least[f'stock {cache} wall']:.1f} s; processor time {extra['cpu']:+.2f} s"
        rows.append(Row(f"start to first step beyond stock, cache {cache}", extra["wall"], "s", None, "<= 1.0", note))
    return rows


def help_times(command: list[str], rounds: int) -> tuple[float, float]:
    """Wall and processor seconds of one help."""
    walls, cpus = [], []
    for _ in range(rounds):
        before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "megatron_proxy.cli", *command, "--help"], check=True, capture_output=True
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        walls.append(time.perf_counter() - begin)
        cpus.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(walls), min(cpus)


def help_rows(rounds: int) -> tuple[list[Row], dict[str, tuple[float, float]]]:
    """The help of the command line, and of the slowest of its commands."""
    times = {name: help_times([name] if name else [], rounds) for name in ("", *COMMANDS)}
    wall, cpu = times[""]
    slowest = max(COMMANDS, key=lambda name: times[name][1])
    note = f"the slowest, {slowest}; processor time {times[slowest][1]:.2f} s"
    return [
        Row("megatron-proxy --help", wall, "s", None, "<= 0.3", f"processor time {cpu:.2f} s"),
        Row("megatron-proxy COMMAND --help", times[slowest][0], "s", None, "<= 0.3", note),
    ], times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    rounds = 1 if args.quick else args.rounds
    times = measure_training(rounds)
    rows, helps = help_rows(rounds + 1)
    report("startup", [*training_rows(times), *rows], training=times, help=helps)


if __name__ == "__main__":
    main()
