"""What memory ``prepare`` takes of a corpus of 10 GB and of a document of 100 MB, and ``import`` of a large model.

    python tests/bench/bench_memory.py [--quick] [--only corpus document import] [--gigabytes 10] [--compressor trie]

*Corpus*: the sum over all processes of a command (proportional set size, sampled), its peak, and the peak of the last
third of the run ÷ that of the middle third. The corpus repeats the standard library.

*Document*: the peak of the largest process of a command with one worker.

*Import*: the peak of what belongs to no file, which the kernel cannot have back, beside the size of the model.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.append(str(Path(__file__).parents[1] / "helpers"))

import psutil
from harness import RESULTS, Row, report
from prepare_runs import COMMAND, Bench, built, make_bench, repeated

from megatron_proxy.data.prepare.recipe import save


def memory_of(command: Sequence[str]) -> list[float]:
    """GiB that a command and all its processes hold, four times a second."""
    samples = []
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        parent = psutil.Process(process.pid)
        while process.poll() is None:
            total = 0
            with suppress(psutil.Error):
                for one in [parent, *parent.children(recursive=True)]:
                    with suppress(psutil.Error):
                        total += one.memory_full_info().pss
            samples.append(total / 2**30)
            time.sleep(0.25)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return samples


def bench_corpus(bench: Bench, gigabytes: float, name: str) -> list[Row]:
    """Two workers over a large corpus."""
    source = bench.folder / f"memory.{name}"
    save(built(name, bench), source)
    corpus = repeated(bench, bench.folder / "large.jsonl", gigabytes * 1e9)
    command = [*COMMAND, "--input", str(corpus), "--compressor", name, "--compressor-from", f"{source}.json"]
    samples = memory_of([*command, "--workers", "2", "--output-prefix", str(bench.folder / "large")])
    third = len(samples) // 3
    for path in bench.folder.glob("large*"):
        path.unlink()
    what = f"{name}, 2 workers, {gigabytes:g} GB of JSONL"
    return [
        Row(f"memory of {what}", max(samples), "GiB", goal="<= 1.5", note="all processes, peak"),
        Row(f"the same, last third beside middle third of {len(samples) / 4:.0f} s", max(samples[-third:]), "GiB",
            max(samples[third:-third]), "<= 1.1"),
    ]  # fmt: skip


def bench_document(bench: Bench, names: Sequence[str], megabytes: int) -> list[Row]:
    """One document that is large: the peak of the command's largest process, with one worker."""
    text = b"".join(bench.documents).decode("utf-8", "replace")
    text = (text * (megabytes * 10**6 // len(text) + 1))[: megabytes * 10**6]
    corpus = bench.folder / "document.jsonl"
    corpus.write_text(json.dumps({"text": text}, ensure_ascii=False))
    rows = []
    for name in names:
        source = bench.folder / f"document.{name}"
        save(built(name, bench), source)
        command = [*COMMAND, "--input", str(corpus), "--overwrite", "--workers", "1"]
        command += ["--compressor", name, "--compressor-from", f"{source}.json"]
        worker = worker_memory([*command, "--output-prefix", str(bench.folder / "document")])
        rows.append(Row(f"memory of {name}'s worker, a document of {megabytes} MB", worker, "GiB", goal="<= 1"))
    return rows


def bench_import(bench: Bench, layers: int) -> list[Row]:
    """A Llama over tokens, in float32."""
    import token_models

    width = {"hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": layers}
    folder = token_models.write(bench.folder / "hf", **width)
    token_models.prepare(bench.folder / "tokens", folder)
    size = sum(path.stat().st_size for path in folder.glob("*.safetensors")) / 2**30
    tokens = ("--as-proxy", "--prefix", str(bench.folder / "tokens"))
    command = [sys.executable, "-m", "megatron_proxy", "import", "--load", str(folder), *tokens]
    peak = worker_memory([*command, "--output", str(bench.folder / "imported")], "RssAnon")
    return [Row(f"memory of import, a model of {layers} layers of 2,048", peak, "GiB", size, "<= 0.5")]


def worker_memory(command: Sequence[str], which: str = "VmHWM") -> float:
    """GiB: the largest ``which`` of /proc's status, its peak by default, of any process that the command starts."""
    peak = 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        parent = psutil.Process(process.pid)
        while process.poll() is None:
            with suppress(psutil.Error, OSError):
                for child in parent.children(recursive=True):
                    status = Path(f"/proc/{child.pid}/status").read_text()
                    held = [line.split()[1] for line in status.splitlines() if line.startswith(which)]
                    peak = max([peak, *map(int, held)])
            time.sleep(0.05)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return peak / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a document of 10 MB for one compressor, nothing large")
    parser.add_argument("--only", nargs="+", choices=("document", "corpus", "import"))
    parser.add_argument("--gigabytes", type=float, default=10.0, help="of JSONL, for the large corpus")
    parser.add_argument("--compressor", default="trie", help="for the large corpus")
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-memory-") as name:
        bench = make_bench(Path(name), args.quick, 1)
        names, megabytes = (("zstd",), 10) if args.quick else (("zstd", "gzip", "sentencepiece", "trie"), 100)
        groups = {"document": lambda: bench_document(bench, names, megabytes)}
        if not args.quick:
            groups["import"] = lambda: bench_import(bench, 24)
            groups["corpus"] = lambda: bench_corpus(bench, args.gigabytes, args.compressor)
        for group, measure in groups.items():
            if group in (args.only or groups):
                report(f"memory, {group}", measure(), args.output)


if __name__ == "__main__":
    main()
