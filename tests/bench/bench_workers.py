"""How ``prepare`` scales from one worker to two, beside what the machine has to give.

    python tests/bench/bench_workers.py [--quick] [--turns 3]

Whole commands in wall time, see :func:`prepare_runs.rate_between`: it needs two idle cores.

Two processes on two cores are not twice as fast as one even if they share nothing, as cores share their cache, their
memory and what the host leaves them. So the same turns hold a peer of which no line is ours: loops over the bare
library, each in a process of its own, all at once, on the segments that ``prepare`` gives it.

What the workers make goes through one process, which takes the checksums and writes. Its own processor time tells how
many workers it keeps busy; a machine with more cores takes several shards at a time.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from harness import RESULTS, Row, report
from prepare_runs import COMMAND, Bench, built, corpora, make_bench, rate_between, seconds_of, segments_of

from megatron_proxy.common.parallel import Workers
from megatron_proxy.data.prepare import Job, Recipe, prepare
from megatron_proxy.data.prepare.recipe import save


def command_seconds(bench: Bench, source: Path, workers: int) -> tuple[float, float]:
    """Seconds of ``prepare`` over the corpus four times, and once."""
    command = [*COMMAND, "--overwrite", "--compressor", "zstd", "--compressor-from", f"{source}.json"]
    command += ["--workers", str(workers), "--output-prefix", str(bench.folder / "scaled")]
    return seconds_of(bench, command)


def best_rate(bench: Bench, runs: Sequence[tuple[float, float]]) -> float:
    """MB per second of the shortest times: whatever else the machine does makes each of them longer only."""
    several, once = (min(times) for times in zip(*runs, strict=True))
    return rate_between(bench, several, once)


def bare_rate(bench: Bench, zstd: Any, processes: int) -> float:
    """MB per second of loops over the bare library, together."""
    with Workers(partial(_loop, zstd, bench.documents), processes) as loops:
        # The first time each cuts its documents into segments.
        list(loops.map([False] * processes))
        begin = time.perf_counter()
        list(loops.map([True] * processes))
        return processes * bench.megabytes / (time.perf_counter() - begin)


def _loop(zstd: Any, documents: list[bytes]) -> Callable[[bool], None]:
    segments = [segment for document in documents for segment in segments_of(zstd, document)]

    def compress(wanted: bool) -> None:
        for segment in segments if wanted else ():
            zstd._context.compress(segment)

    return compress


def own_rate(bench: Bench, zstd: Any) -> float:
    """MB per second of processor time of the process that the workers work for, both views, without its start."""
    seconds = []
    for corpus in corpora(bench):
        job = Job(
            str(bench.folder / "own"),
            [str(corpus)],
            [Recipe("zstd", made=zstd)],
            workers=2,
            overwrite=True,
            log_interval=10**9,
            report=lambda line: None,
        )
        begin = time.process_time()
        prepare(job)
        seconds.append(time.process_time() - begin)
    return rate_between(bench, *seconds)


def measure(bench: Bench) -> list[Row]:
    """zstd with one and with two workers, and the bare library in one and in two processes."""
    zstd = built("zstd", bench)
    source = bench.folder / "scaling.zstd"
    save(zstd, source)
    commands: dict[int, list[tuple[float, float]]] = {1: [], 2: []}
    loops: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(bench.turns):
        for count in (2, 1):
            loops[count].append(bare_rate(bench, zstd, count))
            commands[count].append(command_seconds(bench, source, count))
    two, one = (best_rate(bench, commands[count]) for count in (2, 1))
    bare_two, bare_one = max(loops[2]), max(loops[1])
    return [
        Row("zstd, 2 workers beside 1", two, "MB/s", one, ">= 1.8", "wall time; needs two idle cores"),
        Row("the bare library, 2 processes beside 1", bare_two, "MB/s", bare_one, note="what the machine allows"),
        Row("workers kept busy by one prepare, zstd", own_rate(bench, zstd), "MB/s", one, note="itself ÷ 1 worker"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one turn")
    parser.add_argument("--turns", type=int, default=3, help="the best of so many counts")
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-workers-") as name:
        bench = make_bench(Path(name), False, 1 if args.quick else args.turns)
        report("workers", measure(bench), args.output)


if __name__ == "__main__":
    main()
