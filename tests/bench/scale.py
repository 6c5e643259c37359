"""What a corpus of any size takes, worked out from a prepared sample and from measured rates: a Markdown table.

    megatron-proxy prepare --input sample.jsonl --output-prefix data/sample --compressor zstd
    make bench
    python tests/bench/scale.py data/sample [--compressor zstd] [--bytes 3e12] [--ids 100e9] [--cores 64]

Files are scaled from the sample's: bytes per source byte for contents, per document for indices. Rates are the rows of
build/bench/results.json; a line whose rate is not there says so. Times are of cores like the one measured.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import harness

from megatron_proxy.data.dataset.manifest import CompressedView, Manifest, View
from megatron_proxy.data.dataset.opened import PreparedDataset


@dataclass(frozen=True)
class Rates:
    """What a results file holds: the rows of each benchmark, and what it kept beside them."""

    rows: dict[str, list[harness.Row]]
    kept: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> Rates:
        kept = json.loads(path.read_text()) if path.exists() else {}
        return cls({name: harness.rows_of(result) for name, result in kept.items()}, kept)

    def find(self, benchmark: str, beginning: str) -> float | None:
        """Ours in the first row whose name begins so."""
        return next((row.ours for row in self.rows.get(benchmark, ()) if row.name.startswith(beginning)), None)


def size_of(view: View, sample: Manifest, total: float, documents: float) -> float:
    """Bytes of a view's two files for a corpus of ``total`` bytes."""
    return view.bin.size / sample.raw.units * total + view.idx.size / sample.documents * documents


def bytes_text(value: float) -> str:
    return next(
        f"{value / unit:,.3g} {name}" for unit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")) if value >= unit
    )


def hours_text(seconds: float | None) -> str:
    """A time, or that its rate was not measured."""
    if seconds is None:
        return "not measured"
    units = ((3600, "h"), (60, "min"), (1, "s"))
    return next((f"{seconds / unit:,.3g} {name}" for unit, name in units if seconds >= unit), f"{seconds:.2g} s")


def file_lines(sample: Manifest, view: CompressedView, total: float, documents: float) -> list[tuple[str, str, str]]:
    """What lies on disk."""
    pairs = [("raw view", sample.raw), ("compressed view", view.view)]
    if view.spans is not None:
        pairs.append(("spans", view.spans))
    lines = []
    for name, stored in pairs:
        content, index = stored.bin.size / sample.raw.units, stored.idx.size / sample.documents
        why = f"{content:.3f} bytes per source byte, {index:.0f} per document, sample's manifest"
        lines.append((f"{name}: .bin and .idx", bytes_text(size_of(stored, sample, total, documents)), why))
    return lines


def preparing_lines(rates: Rates, name: str, total: float, stored: float, cores: int) -> list[tuple[str, str, str]]:
    """What preparing takes."""
    lines = []
    for label, beginning in (("raw view", "raw view"), (f"{name} view", name)):
        rate = rates.find("prepare, library", beginning)
        seconds = None if rate is None else total / rate / 1e6 / cores
        shown = "" if rate is None else f"{rate:,.0f} MB/s per core, "
        lines.append(
            (f"{label}, on {cores} cores", hours_text(seconds), f"{shown}`python tests/bench/bench_prepare.py`")
        )
    rate = rates.find("merge", "merge")
    shown = "" if rate is None else f"{rate:,.0f} MB/s of files, one process, "
    seconds = None if rate is None else stored / rate / 1e6
    return [*lines, ("merging shards", hours_text(seconds), f"{shown}`python tests/bench/bench_merge.py`")]


def planning_lines(rates: Rates, documents: float, draws: float) -> list[tuple[str, str, str]]:
    """What planning takes: it orders all documents once and goes through the draws, as many of both when measured."""
    measured = rates.kept.get("plan", {}).get("planning")
    if not measured:
        return [("planning", "not measured", "`python tests/bench/bench_plan.py`")]
    plan = measured[0]
    of_draws = draws / plan["draws"]
    most = max(of_draws, documents / plan["documents"])
    size = f"{plan['draws'] / 1e6:.1f} M draws of {plan['documents'] / 1e6:.0f} M documents"
    why = f"as {size}, `{rates.kept['plan']['command']}`"
    return [
        ("planning, the first time, at most", hours_text(plan["planned_cpu_s"] * most), why),
        ("memory of planning, at most", f"{plan['peak_rss_gib'] * most:.2g} GiB", why),
        ("planning, from cache", hours_text(plan["opened_cpu_s"] * of_draws), "the same; every byte checked"),
        ("plan on disk", bytes_text(plan["cache_bytes"] * of_draws), "the same"),
    ]


def training_lines(rates: Rates, documents: float, ids_per_draw: float, ids: float) -> list[tuple[str, str, str]]:
    """What planning and reading take in training."""
    draws = ids / ids_per_draw
    lines = [
        ("draws", f"{draws / 1e6:,.0f} M", f"{ids_per_draw:,.0f} ids per draw at rate 0.9"),
        *planning_lines(rates, documents, draws),
    ]
    rate = rates.find("access", "ids into batches")
    seconds = None if rate is None else ids / rate / 1e6
    shown = "" if rate is None else f"{rate:,.0f} M ids/s at worst, "
    return [
        *lines,
        ("ids into batches, all ranks together", hours_text(seconds), f"{shown}`python tests/bench/bench_access.py`"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sample", metavar="PREFIX", help="a prepared sample of the corpus")
    parser.add_argument("--compressor", default="zstd")
    parser.add_argument("--bytes", type=float, default=3e12, help="source bytes of the corpus")
    parser.add_argument("--document-bytes", type=float, help="source bytes of a document (default: the sample's mean)")
    parser.add_argument("--ids", type=float, default=100e9, help="ids to train on")
    parser.add_argument("--cores", type=int, default=64, help="cores that prepare")
    args = parser.parse_args()
    prepared = PreparedDataset.open(args.sample)
    sample, view = prepared.manifest, prepared.compressed(args.compressor)
    mean = args.document_bytes or sample.raw.units / sample.documents
    documents = args.bytes / mean
    stored = sum(size_of(one, sample, args.bytes, documents) for one in (sample.raw, *view.stored_views()))
    ids_per_draw = (0.1 + 0.9 * view.view.units / sample.raw.units) * mean + 3
    rates = Rates.read(harness.RESULTS)
    lines = [
        ("documents", f"{documents / 1e6:,.0f} M", f"{mean:,.0f} bytes each"),
        *file_lines(sample, view, args.bytes, documents),
        *preparing_lines(rates, args.compressor, args.bytes, stored, args.cores),
        *training_lines(rates, documents, ids_per_draw, args.ids),
    ]
    print(f"| {bytes_text(args.bytes)}, {args.ids / 1e9:,.0f} G ids | takes | from |\n| --- | --- | --- |")
    for what, takes, why in lines:
        print(f"| {what} | {takes} | {why} |")


if __name__ == "__main__":
    main()
