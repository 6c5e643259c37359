"""What ranks open, read and hold when a training starts: counts, not times.

    python tests/bench/bench_ranks.py [--quick] [--ranks 1 8 64] [--prefixes 1 256]

Each simulated rank is a process that does what the plugin does in a rank before the first step: it reads the manifests,
and, if it reads data (every eighth does, as with eight tensor-parallel ranks), opens the views and the plans of three
splits of every prefix, which rank 0 has made. Counted are openings of the data's files (by an audit hook), bytes read
from files (``/proc/self/io``; pages of mapped files are not among them), files that stay open, and memory of its own
(``/proc/self/smaps_rollup``), all beyond what the process has before; in jobs of many, of the last rank of a kind.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import inspect
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1] / "helpers"))

import numpy as np
import tiny_data
from harness import Row, report

from megatron_proxy.adaptor.data import prepared
from megatron_proxy.data.dataset.layout import Layout
from megatron_proxy.data.sampling import cache, planner
from megatron_proxy.data.sampling.plan import Plan, PlanSpec
from megatron_proxy.data.sampling.schedule import Mode, Schedule
from megatron_proxy.data.sampling.windows import Windows

NAME, DOCUMENTS, PER_GROUP = "trie", 2000, 8
SPLITS = (0.0, 0.9, 0.95, 1.0)
Counts = dict[str, int]


def write_data(folder: Path, prefixes: int, spans: bool) -> list[str]:
    """The same small dataset under many prefixes."""
    base = tiny_data.prepare(folder / "base", tiny_data.documents(DOCUMENTS, words=3))
    files = [stored.name for stored in base.stored_files()]
    if not spans:
        base = base.with_compressed(NAME, dataclasses.replace(base.compressed[NAME], spans=None))
    for number in range(prefixes):
        for name in files:
            shutil.copyfile(folder / name, folder / name.replace("base_", f"p{number}_", 1))
        content = json.loads(base.to_json().replace('"base_', f'"p{number}_'))
        del content["checksum"]
        checksum = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        Layout(folder / f"p{number}").manifest.write_text(json.dumps({**content, "checksum": checksum}))
    return [str(folder / f"p{number}") for number in range(prefixes)]


def known(function: Callable[..., Any], **words: Any) -> dict[str, Any]:
    """Those of the words that a function takes: so the script counts in earlier versions of the package as well."""
    return {name: value for name, value in words.items() if name in inspect.signature(function).parameters}


def start(prefixes: list[str], folder: Path, rank: int) -> list[Any]:
    """What one rank does; returns what it goes on holding."""
    opened = prepared.open_all(prefixes, NAME, **known(prepared.open_all, check_views=rank == 0))
    held: list[Any] = [opened, prepared.source_bytes(opened)]
    if rank % PER_GROUP:
        return held
    for one in opened:
        views = prepared.PreparedViews(one, **known(prepared.PreparedViews, with_spans=False))
        for part in range(3):
            begin, end = (int(edge * DOCUMENTS) for edge in SPLITS[part : part + 2])
            spec = PlanSpec(1, 64, Schedule.constant(0.5, Mode.SENTINEL), 64, 64, range(begin, end), block=1)
            description = spec.description() | views.identity
            if rank == 0:
                cache.open_or_build(
                    folder / "cache", description, lambda s=spec, v=views: planner.plan_parts(s, v.sizes)
                )
            plan = Plan(spec, **cache.open_built(folder / "cache", description))
            held += [views, Windows(plan, views.raw, views.codes, one.compressed.vocabulary)]
    return held


def state() -> Counts:
    """What the process has read and holds so far."""
    rollup = Path("/proc/self/smaps_rollup").read_text().splitlines()
    io = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return {
        "bytes read": int(io["rchar"]),
        "files held": len(os.listdir("/proc/self/fd")),
        "memory": sum(1024 * int(line.split()[1]) for line in rollup if line.startswith("Anonymous:")),
    }


def count(prefixes: list[str], folder: Path, rank: int) -> Counts:
    """The counts of one rank, from a process of its own."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        opens = []
        sys.addaudithook(lambda event, args: opens.append(args[0]) if event == "open" else None)
        before = state()
        held = start(prefixes, folder, rank)
        after = state()
        ours = sum(str(path).startswith(str(folder)) for path in opens)
        found = {name: after[name] - before[name] for name in after} | {"opens": ours}
        os.write(write, json.dumps(found).encode())
        del held
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as answers:
        counts: Counts = json.load(answers)
    os.waitpid(child, 0)
    return counts


def measure(ranks: int, prefixes: int, spans: bool) -> list[Row]:
    """Rows of one job."""
    with tempfile.TemporaryDirectory(prefix="bench-ranks-") as name:
        folder = Path(name)
        paths = write_data(folder, prefixes, spans)
        found = [count(paths, folder, rank) for rank in range(ranks)]
    job = f"{ranks} ranks, {prefixes} prefixes, {'spans' if spans else 'no spans'}"
    kinds = {"a rank that reads data": [one for rank, one in enumerate(found) if rank % PER_GROUP == 0][-1]}
    if ranks > 1:
        kinds["a rank that reads none"] = found[-1]
    rows = [
        Row(f"{job}: {what}, {kind}", value, "bytes" if what in ("bytes read", "memory") else "files")
        for kind, counts in kinds.items()
        for what, value in sorted(counts.items())
    ]
    rows.append(Row(f"{job}: opens, all ranks together", sum(one["opens"] for one in found), "files"))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few ranks and prefixes")
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--prefixes", type=int, nargs="+", default=[1, 256])
    args = parser.parse_args()
    ranks, prefixes = ([1, 8], [1, 16]) if args.quick else (args.ranks, args.prefixes)
    # What the first use of a library takes belongs to no rank.
    np.unique(np.arange(3), return_index=True)
    report("ranks", [row for p in prefixes for s in (True, False) for r in ranks for row in measure(r, p, s)])


if __name__ == "__main__":
    main()
