"""How fast ``prepare`` takes corpora as people have them, beside the bare libraries, and what memory a worker needs.

    python tests/bench/bench_corpora.py [--quick] [--only parquet folder tokens memory] [--files 100000]

Rates are source bytes per second of *processor* time, everything included (writing, checksums, manifest), in this
process, as in ``bench_prepare.py``; sides take turns.

*Parquet*: the raw view of a column, beside pyarrow reading the column and SHA-256 over its buffers as they are.
*Folder*: small files, beside listing, reading and hashing them in the same order.
*Tokens*: both views of what Megatron has tokenized (``hf``, 8,000 tokens), in text per second: no peer does that.
*Memory*: the largest process of a command with one worker, over a Parquet file that is one row group.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pyarrow as pa
from bench_memory import worker_memory
from bench_prepare import in_turns, quiet_prepare, tokenizer_models
from harness import RESULTS, Row, report
from prepare_runs import COMMAND, Bench, make_bench
from pyarrow import parquet

from megatron_proxy.data.corpus import Taking
from megatron_proxy.data.prepare import Recipe
from megatron_proxy.data.tokens import open_tokens

_FILE_BYTES = 1000
# What does not grow with a corpus (files' fsync, trying a tokenizer) is to be small beside the rest.
_TIMES = 8


def write_table(path: Path, documents: Sequence[bytes], size: int, **options: int) -> None:
    """A Parquet file of about ``size`` bytes of text: the documents over and over."""
    times = max(round(size / sum(map(len, documents))), 1)
    table = pa.table({"text": pa.array(documents, pa.large_binary())})
    parquet.write_table(pa.concat_tables([table] * times).combine_chunks(), path, use_dictionary=False, **options)


def fresh(bench: Bench, name: str, work: Callable[[str], None]) -> Callable[[], None]:
    """``work`` with a prefix at which nothing is."""

    def run() -> None:
        for path in bench.folder.glob(f"{name}_*"):
            path.unlink()
        work(str(bench.folder / name))

    return run


def repeated(bench: Bench) -> Bench:
    """The documents over and over."""
    return Bench(bench.folder, bench.corpus, bench.documents * _TIMES, bench.turns)


def bench_parquet(bench: Bench) -> list[Row]:
    """A table to the raw view."""
    path = bench.folder / "table.parquet"
    large = repeated(bench)
    write_table(path, large.documents, 0)

    def bare() -> None:
        digest = hashlib.sha256()
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(columns=["text"], use_threads=False):
                # Offsets, then content.
                digest.update(batch.column(0).buffers()[2])

    ours = fresh(bench, "parquet", lambda prefix: quiet_prepare(prefix=prefix, inputs=[str(path)], workers=0))
    return [Row("raw view of a Parquet column", *in_turns(large, ours, bare), goal=">= 0.7")]


def bench_folder(bench: Bench, files: int) -> list[Row]:
    """Small files to the raw view."""
    folder = bench.folder / "files"
    text = b"".join(bench.documents)
    for number in range(files):
        path = folder / f"{number // 1000:03}" / f"{number:06}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        begin = number * _FILE_BYTES % (len(text) - _FILE_BYTES)
        path.write_bytes(text[begin : begin + _FILE_BYTES])
    small = Bench(bench.folder, bench.corpus, [bytes(_FILE_BYTES)] * files, bench.turns)

    def bare() -> None:
        digest = hashlib.sha256()
        found = [os.path.join(place, name) for place, _, names in os.walk(folder) for name in names]
        for path in sorted(found):
            with open(path, "rb") as file:
                digest.update(file.read())

    taking = Taking(files="*.txt")
    ours = fresh(
        bench, "folder", lambda prefix: quiet_prepare(prefix=prefix, inputs=[str(folder)], taking=taking, workers=0)
    )
    return [Row(f"raw view of a folder of {files:,} files of 1 kB", *in_turns(small, ours, bare), goal=">= 0.8")]


def bench_tokens(bench: Bench) -> list[Row]:
    """What Megatron has tokenized to both views."""
    from tokenizers import Tokenizer

    file = tokenizer_models(bench)["hf"]
    tokenizer = Tokenizer.from_file(str(file))
    end = tokenizer.token_to_id("<|endoftext|>")
    texts = [document.decode("utf-8", "replace") for document in bench.documents]
    ids = [[*encoding.ids, end] for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)]
    _write_ids(bench.folder / "ids", ids * _TIMES)
    large = repeated(bench)

    def take(prefix: str) -> None:
        corpus, compressor = open_tokens([str(bench.folder / "ids")], str(file), {}, eod=None, drop=False)
        recipe = Recipe(compressor.name, made=compressor)
        quiet_prepare(prefix=prefix, given=corpus, recipes=[recipe], workers=0)

    ours = fresh(bench, "tokens", take)
    rate, unit, _ = in_turns(large, ours, lambda: sum(map(len, ids)))
    return [Row("both views of Megatron's ids, hf, text per core", rate, unit, goal=">= 100")]


def _write_ids(prefix: Path, ids: Sequence[Sequence[int]]) -> None:
    from megatron_proxy.data.dataset.writer import ViewWriter

    writer = ViewWriter(str(prefix), np.dtype(np.uint16))
    for one in ids:
        writer.add(np.array(one, dtype=np.uint16).tobytes(), np.array([len(one)], dtype=np.int32))
    writer.finish()


def bench_row_group(bench: Bench, megabytes: int) -> list[Row]:
    """A worker that reads one large row group."""
    path = bench.folder / "group.parquet"
    write_table(path, bench.documents, megabytes << 20, row_group_size=1 << 40)
    command = [*COMMAND, "--input", str(path), "--workers", "1", "--output-prefix", str(bench.folder / "group")]
    what = f"memory of a worker, a row group of {parquet.read_metadata(path).row_group(0).total_byte_size >> 20:,} MiB"
    return [Row(what, worker_memory(command), "GiB", goal="<= 1")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="3 MB, 2,000 files, a row group of 64 MiB")
    parser.add_argument("--only", nargs="+", choices=("parquet", "folder", "tokens", "memory"))
    parser.add_argument("--files", type=int, default=100_000, help="in the folder")
    parser.add_argument("--turns", type=int, default=3, help="how often the sides take turns")
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-corpora-") as name:
        bench = make_bench(Path(name), args.quick, args.turns)
        files, megabytes = (2_000, 64) if args.quick else (args.files, 1024)
        groups = {
            "parquet": lambda: bench_parquet(bench),
            "folder": lambda: bench_folder(bench, files),
            "tokens": lambda: bench_tokens(bench),
            "memory": lambda: bench_row_group(bench, megabytes),
        }
        for group, measure in groups.items():
            if group in (args.only or groups):
                report(f"corpora, {group}", measure(), args.output, corpus_megabytes=bench.megabytes)


if __name__ == "__main__":
    main()
