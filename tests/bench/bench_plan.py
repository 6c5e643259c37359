"""Planning 50 million draws over a simulated index of 50 million documents (sizes only): time, memory, and from cache.

    python tests/bench/bench_plan.py [--quick] [--draws 50e6] [--documents 50e6]

The index is planned into a cache folder in a process of its own, whose peak memory is read at its end; the cached plan
is then opened again as the first rank does it (every byte checked). The interleaved row has 18 spans per document, over
a fiftieth of the documents. With ``--quick`` it is a fiftieth of the draws, and no goals.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from harness import Row, report

from megatron_proxy.data.dataset.reader import ViewReader
from megatron_proxy.data.dataset.writer import ViewWriter
from megatron_proxy.data.sampling import cache as plan_cache
from megatron_proxy.data.sampling import planner
from megatron_proxy.data.sampling.plan import DocumentSizes, PlanSpec
from megatron_proxy.data.sampling.schedule import Mode, Schedule

SEQ_LENGTH = 8192
SPAN_BYTES, SPAN_CODES = 256, 86
SCHEDULES = {
    "translation, then sentinel": Schedule(),
    "interleaved": Schedule(warmup_mode=Mode.INTERLEAVED, steady_mode=Mode.INTERLEAVED, final_mode=Mode.INTERLEAVED),
}
# Goals are for 50 million draws; this many are near enough.
FULL = 45e6


def write_index(folder: Path, documents: int, spans: bool) -> None:
    """Sizes of documents as files, as views have them: log-normal, 4,450 bytes on average, in whole spans."""
    generator = np.random.default_rng(0)
    view = ViewWriter(str(folder / "spans"), np.dtype(np.uint16))
    with open(folder / "raw", "wb") as raw, open(folder / "codes", "wb") as codes:
        for begin in range(0, documents, 1 << 20):
            size = min(1 << 20, documents - begin)
            per_document = np.clip(generator.lognormal(7.9, 1.0, size) / SPAN_BYTES, 1, 4000).round().astype(np.int32)
            raw.write((per_document * SPAN_BYTES).tobytes())
            codes.write((per_document * SPAN_CODES).tobytes())
            if spans:
                pairs = np.tile(np.array([SPAN_BYTES, SPAN_CODES], np.uint16), int(per_document.sum(dtype=np.int64)))
                view.add(pairs.tobytes(), 2 * per_document)
    view.finish()


def read_index(folder: Path) -> DocumentSizes:
    """The sizes again, memory-mapped, with the view of spans if there are any."""
    raw, codes = (np.asarray(np.memmap(folder / name, dtype=np.int32, mode="r")) for name in ("raw", "codes"))
    spans = ViewReader(folder / "spans")
    return DocumentSizes(raw, codes, spans if len(spans) else None)


def plan_once(folder: Path, name: str, draws: int) -> dict[str, Any]:
    """Plan about this many draws into a cache, and open it again."""
    sizes = read_index(folder)
    # A tenth more than single views take, for the pairs of the warm-up and the sentinels of runs.
    mean = 1.1 * (0.1 * sizes.raw.mean() + 0.9 * sizes.codes.mean())
    samples = max(int(draws * mean / SEQ_LENGTH), 1)
    spec = PlanSpec(1234, SEQ_LENGTH, SCHEDULES[name], samples, samples, range(len(sizes.raw)))
    seconds = {}
    for what in ("planned", "opened"):
        wall, cpu = time.perf_counter(), time.process_time()
        arrays = plan_cache.open_or_build(folder / "cache", spec.description(), lambda: planner.plan_parts(spec, sizes))
        seconds |= {f"{what}_s": time.perf_counter() - wall, f"{what}_cpu_s": time.process_time() - cpu}
    return {
        "schedule": name,
        "documents": len(sizes.raw),
        "draws": len(arrays["draw_documents"]),
        "samples": len(arrays["shuffle"]),
        "cache_bytes": sum(array.nbytes for array in arrays.values()),
        "peak_rss_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        **seconds,
    }


def bench_planning(draws: int, documents: int) -> list[dict[str, Any]]:
    """Both schedules, each in a fresh process."""
    rows = []
    for name, count in (("translation, then sentinel", documents), ("interleaved", max(documents // 50, 1))):
        with tempfile.TemporaryDirectory(prefix="bench-plan-") as folder:
            write_index(Path(folder), count, spans=name == "interleaved")
            command = [sys.executable, __file__, "--plan-in", folder, "--schedule", name, "--draws", str(draws)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            rows.append(json.loads(done.stdout.splitlines()[-1]))
    return rows


def print_planning(rows: list[dict[str, Any]]) -> None:
    print(f"{'planning':<28}{'documents':>12}{'draws':>12}{'samples':>12}{'s':>8}{'cpu s':>8}{'GiB':>7}{'open s':>8}")
    for row in rows:
        print(
            f"{row['schedule']:<28}{row['documents']:>12,}{row['draws']:>12,}{row['samples']:>12,}"
            f"{row['planned_s']:>8.1f}{row['planned_cpu_s']:>8.1f}{row['peak_rss_gib']:>7.2f}{row['opened_s']:>8.2f}"
        )


def rows_of(planned: dict[str, Any]) -> list[Row]:
    """Time, memory, and time from cache of one schedule."""
    full = planned["draws"] >= FULL
    label = f"{planned['schedule']}, {planned['draws'] / 1e6:.1f} M draws"
    cpu, opened_cpu = planned["planned_cpu_s"], planned["opened_cpu_s"]
    figures = (
        ("planning", planned["planned_s"], "s", "<= 60", f"processor time {cpu:.1f} s"),
        ("memory of planning", planned["peak_rss_gib"], "GiB", "<= 2", "peak of the process"),
        ("a plan from cache", planned["opened_s"], "s", "<= 2", f"processor time {opened_cpu:.2f} s"),
    )
    return [
        Row(f"{what}: {label}", value, unit, None, goal if full else None, note)
        for what, value, unit, goal, note in figures
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a fiftieth of the draws")
    parser.add_argument("--draws", type=float, default=50e6)
    parser.add_argument("--documents", type=float, default=50e6)
    parser.add_argument("--plan-in", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--schedule", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.plan_in:
        print(json.dumps(plan_once(args.plan_in, args.schedule, int(args.draws))))
        return
    share = 50 if args.quick else 1
    planned = bench_planning(int(args.draws / share), int(args.documents / share))
    print_planning(planned)
    report("plan", [row for one in planned for row in rows_of(one)], planning=planned)


if __name__ == "__main__":
    main()
