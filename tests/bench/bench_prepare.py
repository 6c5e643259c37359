"""How fast ``prepare`` is beside the bare libraries and beside Megatron's own tool.

    python tests/bench/bench_prepare.py [--quick] [--only GROUP …] [--output build/bench/results.json]
    MEGATRON_LM=/path/to/Megatron-LM python tests/bench/bench_prepare.py      # with tools/preprocess_data.py beside it

The corpus is the interpreter's standard library (``examples/stdlib_corpus.py``). Rates are source bytes per second of
*processor* time, so that other work on the same cores counts less; sides take turns, and the median of the ratios of
turns is kept.

*Bare library*: ``prepare`` makes one view of a raw view that is there, in this process, everything included (cutting,
writing, checksums, manifest); the peer calls the library on the same segments with the same settings, and throws away
what it gets; the raw view's peer is ``orjson.loads`` and SHA-256. zstd's symbols are taken out of the frame, so both of
its forms have a row.

*Megatron's tool*: whole commands in wall time, see :func:`prepare_runs.rate_of`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import orjson
from harness import RESULTS, Row, report
from prepare_runs import COMMAND, Bench, built, make_bench, median_pair, rate_of, segments_of

from megatron_proxy.compressors import Compressor
from megatron_proxy.data.prepare import Job, Recipe, prepare
from megatron_proxy.data.prepare.recipe import save

VOCABULARY = 8000


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


def bench_raw(bench: Bench) -> Row:
    """JSONL to the raw view, beside ``orjson.loads`` and SHA-256 over the same lines."""

    def ours() -> None:
        for path in bench.folder.glob("raw_*"):
            path.unlink()
        quiet_prepare(prefix=str(bench.folder / "raw"), inputs=[str(bench.corpus)], workers=0)

    def bare() -> None:
        digest = hashlib.sha256()
        with open(bench.corpus, "rb") as lines:
            for line in lines:
                digest.update(orjson.loads(line)["text"].encode())

    row = Row("raw view", *in_turns(bench, ours, bare), goal=">= 0.8", note="JSONL in, checksum included")
    for path in bench.folder.glob("raw_*"):
        path.unlink()
    return row


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
        segments = [segments_of(zstd, document) for document in bench.documents]

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small corpus, no Megatron tool")
    parser.add_argument("--only", nargs="+", choices=("library", "megatron"))
    parser.add_argument("--turns", type=int, default=3, help="how often the sides take turns")
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-prepare-") as name:
        bench = make_bench(Path(name), args.quick, args.turns)
        groups = {"library": lambda: [bench_raw(bench), *bench_library(bench)]}
        checkout = os.environ.get("MEGATRON_LM", "").split(":")[0]
        if checkout and not args.quick:
            groups["megatron"] = lambda: bench_megatron(bench, Path(checkout))
        for group, measure in groups.items():
            if group in (args.only or groups):
                # Each group is kept at once: some take minutes.
                report(f"prepare, {group}", measure(), args.output, corpus_megabytes=bench.megabytes)


if __name__ == "__main__":
    main()
