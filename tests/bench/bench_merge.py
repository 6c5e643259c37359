"""Putting shards together, beside copying their files and taking the checksums of the copies.

    python tests/bench/bench_merge.py [--quick] [--megabytes 400]

Eight shards of a corpus that repeats Python's standard library, with a gzip view. MB are those of the shards' files,
seconds are processor time, sides by turns, the best of the rounds.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import tempfile
import time
from pathlib import Path

from harness import Row, report
from pretraining import stdlib_sources

from megatron_proxy.prepare import Job, prepare
from megatron_proxy.prepare.merge import merge
from megatron_proxy.prepare.recipe import recipes

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
    """Copy files, and take the checksum of each copy."""
    for file in files:
        copied = shutil.copyfile(file, target / file.name)
        with copied.open("rb") as content:
            hashlib.file_digest(content, "sha256")


def seconds_of_both(prefix: str, folder: Path, rounds: int) -> tuple[float, float, int]:
    """Best processor time of merging and of copying, and the bytes of the shards' files."""
    files = [path for path in Path(prefix).parent.glob("merged_shard-*") if path.suffix in (".bin", ".idx")]
    merging, copying = [], []
    for _ in range(rounds):
        begin = time.process_time()
        merge(prefix, overwrite=True, report=lambda line: None)
        merging.append(time.process_time() - begin)
        begin = time.process_time()
        copy(files, folder)
        copying.append(time.process_time() - begin)
    return min(merging), min(copying), sum(path.stat().st_size for path in files)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="30 MB, one round")
    parser.add_argument("--megabytes", type=int, default=400)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-merge-") as name:
        folder = Path(name)
        prefix = make_shards(folder, 30 if args.quick else args.megabytes)
        (folder / "copies").mkdir()
        merging, copying, size = seconds_of_both(prefix, folder / "copies", 1 if args.quick else 3)
    note = f"{SHARDS} shards, {size / 1e6:.0f} MB of files"
    report(
        "merge", [Row("merge ÷ copying with checksums", size / merging / 1e6, "MB/s", size / copying / 1e6, None, note)]
    )


if __name__ == "__main__":
    main()
