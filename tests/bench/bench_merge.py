"""Putting shards together, beside copying their files and taking the checksums of the copies.

    python tests/bench/bench_merge.py [--quick] [--megabytes 400]

Eight shards of a corpus that repeats the standard library, with a gzip view. MB are those of the shards' files. The
sides take turns, and the best of the rounds counts, in wall time and in processor time: merging takes the checksums of
what it reads and of what it writes at the same time, in two threads.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from harness import Row, report
from pretraining import stdlib_sources

from megatron_proxy.data.prepare import Job, prepare
from megatron_proxy.data.prepare.recipe import recipes
from megatron_proxy.data.shards.merge import merge

SHARDS = 8


def make_shards(folder: Path, megabytes: int) -> str:
    """The prefix whose shards are there."""
    documents = stdlib_sources(1_000_000)
    lines = "".join(json.dumps({"text": document.decode("utf-8", "replace")}) + "\n" for document in documents)
    corpus = folder / "corpus.jsonl"
    with corpus.open("w") as file:
        for _ in range(max(1, megabytes * 10**6 // len(lines))):
            file.write(lines)
    prefix = str(folder / "merged")
    for number in range(SHARDS):
        found = recipes(["gzip"], {"gzip": {"level": 1}}, [])
        job = Job(prefix, [str(corpus)], found, workers=2, shard=(number, SHARDS), report=lambda line: None)
        prepare(job)
    return prefix


def copy(files: list[Path], target: Path) -> None:
    """Copy files, take the checksum of each copy, and wait until the disk has it."""
    for file in files:
        copied = shutil.copyfile(file, target / file.name)
        with copied.open("rb") as content:
            hashlib.file_digest(content, "sha256")
            os.fsync(content.fileno())


def seconds(work: Callable[[], None]) -> tuple[float, float]:
    """Wall time and processor time."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def best_of_both(prefix: str, folder: Path, rounds: int) -> tuple[list[float], list[float], int]:
    """Best wall and processor time of merging, and of copying, and the bytes of the shards' files."""
    files = [path for path in Path(prefix).parent.glob("merged_shard-*") if path.suffix in (".bin", ".idx")]
    merging, copying = [], []
    for _ in range(rounds):
        merging.append(seconds(lambda: merge(prefix, overwrite=True, report=lambda line: None)))
        copying.append(seconds(lambda: copy(files, folder)))
    size = sum(path.stat().st_size for path in files)
    return [min(kind) for kind in zip(*merging, strict=True)], [min(kind) for kind in zip(*copying, strict=True)], size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="30 MB, one round")
    parser.add_argument("--megabytes", type=int, default=400)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-merge-") as name:
        folder = Path(name)
        prefix = make_shards(folder, 30 if args.quick else args.megabytes)
        (folder / "copies").mkdir()
        merging, copying, size = best_of_both(prefix, folder / "copies", 1 if args.quick else 3)
    rows = []
    for kind, ours, peer in zip(("wall time", "processor time"), merging, copying, strict=True):
        note = f"{kind}; {SHARDS} shards, {size / 1e6:.0f} MB of files"
        rows.append(Row("merge ÷ copying with checksums", size / ours / 1e6, "MB/s", size / peer / 1e6, None, note))
    report("merge", rows)


if __name__ == "__main__":
    main()
