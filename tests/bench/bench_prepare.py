"""How fast ``prepare`` is beside the bare libraries and Megatron's own tool, how it scales, and what memory it takes.

    python tests/bench/bench_prepare.py [--quick] [--only GROUP …] [--output build/bench/results.json]
    MEGATRON_LM=/path/to/Megatron-LM python tests/bench/bench_prepare.py      # with tools/preprocess_data.py beside it

The corpus is the interpreter's standard library (``examples/stdlib_corpus.py``). Rates are source bytes per second of
*processor* time, so that other work on the same cores counts less; sides take turns, and the median of the ratios of
turns is kept.

*Bare library*: ``prepare`` makes one view of a raw view that is there, in this process, everything included (cutting,
writing, checksums, manifest); the peer calls the library on the same segments with the same settings, and throws away
what it gets. zstd's symbols are taken out of the frame, so both of its forms have a row.

*Megatron's tool*, *workers*: whole commands in wall time, over the corpus four times and once; the difference is three
corpora without the command's start (imports, compiling), which would count for more than the work.

*Memory*: the sum over all processes of a command (proportional set size, sampled), its peak, and the peak of the last
third of the run ÷ that of the middle third. The large corpus repeats the small one.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import psutil
from harness import RESULTS, Row, report

from megatron_proxy import compressors
from megatron_proxy.compressors import Compressor
from megatron_proxy.prepare import Job, Recipe, prepare
from megatron_proxy.prepare.recipe import save

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "examples"))

COMMAND = [sys.executable, "-m", "megatron_proxy", "prepare", "--log-interval", "100000000"]
VOCABULARY = 8000
_TIMEOUT = 300


@dataclass(frozen=True)
class Bench:
    """The corpus and where to work."""

    folder: Path
    corpus: Path
    documents: list[bytes]
    turns: int

    @property
    def megabytes(self) -> float:
        return sum(map(len, self.documents)) / 1e6


def make_bench(folder: Path, quick: bool, turns: int) -> Bench:
    """The corpus: all of the standard library, or 3 MB of it."""
    from stdlib_corpus import write

    write(folder, max_documents=200 if quick else None)
    corpus = folder / "train.jsonl"
    documents = [json.loads(line)["text"].encode("utf-8", "surrogateescape") for line in corpus.open()]
    return Bench(folder, corpus, documents, turns)


def quiet_prepare(**job: Any) -> None:
    prepare(Job(report=lambda line: None, log_interval=10**9, **job))


def cpu_seconds(work: Callable[[], object]) -> float:
    begin = time.process_time()
    work()
    return time.process_time() - begin


def in_turns(bench: Bench, ours: Callable[[], object], peer: Callable[[], object]) -> tuple[float, str, float]:
    """Rate of ours, its unit, and the rate of the peer such that their ratio is the median ratio of the turns."""
    ours()
    peer()
    pairs = [(cpu_seconds(ours), cpu_seconds(peer)) for _ in range(bench.turns)]
    ratio = float(np.median([theirs / mine for mine, theirs in pairs]))
    rate = bench.megabytes / min(mine for mine, _ in pairs)
    return rate, "MB/s", rate / ratio


def built(name: str, bench: Bench, **options: Any) -> Compressor:
    """A compressor that has learnt from the corpus."""
    kind = compressors.get(name)
    defaults = {option.name: option.default for option in kind.options}
    return kind.build(defaults | options, lambda: iter(bench.documents))


def bench_raw(bench: Bench, gigabytes: float = 1.15) -> Row:
    """JSONL to the raw view; the corpus again and again, so that it is as large as those that speed matters for.

    From 640 MiB on, prepare takes the reader that is fast once it is loaded.
    """
    prefix = str(bench.folder / "raw")
    repeats = round(gigabytes * 1e9 / bench.corpus.stat().st_size)
    large = repeated(bench, bench.folder / "large.jsonl", repeats * bench.corpus.stat().st_size)

    def seconds() -> float:
        spent = cpu_seconds(lambda: quiet_prepare(prefix=prefix, inputs=[str(large)], workers=0))
        for path in bench.folder.glob("raw_*"):
            path.unlink()
        return spent

    seconds()
    best = min(seconds() for _ in range(bench.turns))
    large.unlink()
    rate = repeats * bench.megabytes / best
    return Row("raw view", rate, "MB/s", goal=">= 500", note="JSONL in, checksum included")


def bench_library(bench: Bench) -> list[Row]:
    """zstd and gzip beside the bare libraries."""
    prefix = str(bench.folder / "views")
    quiet_prepare(prefix=prefix, inputs=[str(bench.corpus)], workers=0)

    def making(compressor: Compressor) -> Callable[[], None]:
        recipe = Recipe(compressor.name, made=compressor)
        return lambda: quiet_prepare(prefix=prefix, recipes=[recipe], workers=0, overwrite=True)

    rows = []
    for form in ("matches", "bytes"):
        zstd: Any = built("zstd", bench, form=form)
        segments = [cut(zstd, document) for document in bench.documents if document]

        def bare(context: Any = zstd._context, segments: list[list[bytes]] = segments) -> None:
            for segment in (segment for each in segments for segment in each):
                context.compress(segment)

        rows.append(Row(f"zstd, form {form}", *in_turns(bench, making(zstd), bare), goal=">= 0.8"))
    gzip: Any = built("gzip", bench)
    level = gzip.config()["level"]

    def deflate() -> None:
        for document in bench.documents:
            zlib.compress(document, level)

    rows.append(Row("gzip", *in_turns(bench, making(gzip), deflate), goal=">= 0.8"))
    return rows


def cut(compressor: Any, document: bytes) -> list[bytes]:
    """The segments of a document."""
    ends = compressor.segmenter.ends(document).tolist()
    return [document[begin:end] for begin, end in zip([0, *ends[:-1]], ends, strict=True)]


def wall_seconds(command: Sequence[str], env: dict[str, str] | None = None) -> float:
    """Of a whole command.

    Raises
    ------
    SystemExit
        If it fails or hangs, with what it said.
    """
    begin = time.perf_counter()
    environment = {**os.environ, **(env or {})}
    try:
        # Megatron's tool waits for ever when one of its processes has failed.
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=_TIMEOUT)
    except subprocess.TimeoutExpired as error:
        raise SystemExit(f"{' '.join(command)}\nhas not ended after {_TIMEOUT} s\n{error.stderr}") from error
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return time.perf_counter() - begin


def bench_megatron(bench: Bench, checkout: Path) -> list[Row]:
    """Tokenizers beside ``tools/preprocess_data.py``."""
    models = tokenizer_models(bench)
    rows = []
    for name, kind, model, goal in (
        ("sentencepiece", "SentencePieceTokenizer", models["sentencepiece"], ">= 1.5"),
        ("hf", "HuggingFaceTokenizer", models["hf"], ">= 3"),
    ):
        for workers in (1, 2):
            ours = [*COMMAND, "--overwrite", "--compressor", name, f"--{name}-model", str(model)]
            ours += ["--workers", str(workers), "--output-prefix", str(bench.folder / "tokens")]
            theirs = [sys.executable, str(checkout / "tools" / "preprocess_data.py"), "--tokenizer-type", kind]
            theirs += ["--tokenizer-model", str(model.parent if name == "hf" else model), "--workers", str(workers)]
            theirs += ["--output-prefix", str(bench.folder / "theirs")]
            pairs = [(rate_of(bench, ours), rate_of(bench, theirs)) for _ in range(max(bench.turns // 2, 1))]
            mine, stock = median_pair(pairs)
            label = f"{name}, {workers} worker{'s' if workers > 1 else ''}, beside preprocess_data.py"
            rows.append(Row(label, mine, "MB/s", stock, goal))
    return rows


def rate_of(bench: Bench, command: list[str], times: int = 4) -> float:
    """MB per second of wall time of a command: over the corpus so many times, less its time over the corpus once."""
    env = {"PYTHONPATH": "", "TOKENIZERS_PARALLELISM": "false"}
    large = repeated(bench, bench.folder / "several.jsonl", times * bench.corpus.stat().st_size)
    seconds = [wall_seconds([*command, "--input", str(path)], env) for path in (large, bench.corpus)]
    return (times - 1) * bench.megabytes / (seconds[0] - seconds[1])


def median_pair(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """The pair of rates (ours, the peer's) whose ratio is the median; of two, the lower one."""
    return sorted(pairs, key=lambda pair: pair[0] / pair[1])[(len(pairs) - 1) // 2]


def tokenizer_models(bench: Bench) -> dict[str, Path]:
    """A SentencePiece model, and a byte-level BPE as a Hugging Face folder, both trained on the corpus."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    sentencepiece = built("sentencepiece", bench, **{"vocab-size": VOCABULARY})
    save(sentencepiece, bench.folder / "sp.model")
    folder = bench.folder / "bpe"
    folder.mkdir()
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<|endoftext|>"],
        show_progress=False,
    )
    tokenizer.train_from_iterator((document.decode("utf-8", "replace") for document in bench.documents), trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    kind = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|endoftext|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(kind))
    return {"sentencepiece": bench.folder / "sp.model", "hf": folder / "tokenizer.json"}


def bench_scaling(bench: Bench) -> Row:
    """zstd with one and with two workers."""
    source = bench.folder / "scaling.zstd"
    save(built("zstd", bench), source)

    def rate(workers: int) -> float:
        command = [*COMMAND, "--overwrite", "--compressor", "zstd", "--compressor-from", f"{source}.json"]
        command += ["--workers", str(workers), "--output-prefix", str(bench.folder / "scaled")]
        return rate_of(bench, command)

    two, one = median_pair([(rate(2), rate(1)) for _ in range(bench.turns)])
    return Row("zstd, 2 workers beside 1", two, "MB/s", one, ">= 1.8", "wall time; needs two idle cores")


def repeated(bench: Bench, path: Path, size: float) -> Path:
    """A corpus of about ``size`` bytes: the corpus over and over."""
    content = bench.corpus.read_bytes()
    with path.open("wb") as file:
        for _ in range(max(round(size / len(content)), 1)):
            file.write(content)
    return path


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


def bench_memory(bench: Bench, gigabytes: float, name: str) -> list[Row]:
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


def bench_large_document(bench: Bench, names: Sequence[str], megabytes: int = 100) -> list[Row]:
    """One document of 100 MB: the peak of the whole command with one worker."""
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


def worker_memory(command: Sequence[str]) -> float:
    """GiB: the largest peak (VmHWM) of any process that the command starts."""
    peak = 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        parent = psutil.Process(process.pid)
        while process.poll() is None:
            with suppress(psutil.Error, OSError):
                for child in parent.children(recursive=True):
                    status = Path(f"/proc/{child.pid}/status").read_text()
                    held = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
                    peak = max([peak, *map(int, held)])
            time.sleep(0.05)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return peak / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small corpus, no Megatron tool, no large memory runs")
    parser.add_argument("--only", nargs="+", choices=("library", "workers", "megatron", "document", "memory"))
    parser.add_argument("--turns", type=int, default=3, help="how often the sides take turns")
    parser.add_argument("--memory-gb", type=float, default=10.0, help="JSONL for the memory run; 0 leaves it out")
    parser.add_argument("--memory-compressor", default="trie", help="its compressor")
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-prepare-") as name:
        bench = make_bench(Path(name), args.quick, args.turns)
        groups = {"library": lambda: [bench_raw(bench), *bench_library(bench)]}
        if not args.quick:
            groups["workers"] = lambda: [bench_scaling(bench)]
            if checkout := os.environ.get("MEGATRON_LM", "").split(":")[0]:
                groups["megatron"] = lambda: bench_megatron(bench, Path(checkout))
            groups["document"] = lambda: bench_large_document(bench, ("zstd", "gzip", "sentencepiece", "trie"))
            if args.memory_gb:
                groups["memory"] = lambda: bench_memory(bench, args.memory_gb, args.memory_compressor)
        for group, measure in groups.items():
            if group in (args.only or groups):
                # Each group is kept at once: some take minutes.
                report(f"prepare, {group}", measure(), args.output, corpus_megabytes=bench.megabytes)


if __name__ == "__main__":
    main()
