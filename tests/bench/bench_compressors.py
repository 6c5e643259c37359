"""Every compressor on several corpora: bytes per code, stability and speed, as tables.

    python examples/stdlib_corpus.py build/corpora/stdlib
    python tests/bench/debian_reference.py unpacked build/corpora/debian      (see there for the packages)
    python tests/bench/bench_compressors.py build/corpora/stdlib build/corpora/debian --keep build/compressors

Each compressor learns from a corpus's ``train.jsonl`` and is measured on its ``held_out.jsonl``; "elsewhere" is the
held-out text of the other corpora, which it has never seen the like of. Stability is the edit distance of the code
streams, divided by their length, after deleting 10 % of the characters at random places and as one span; "repeats" is
the share of repeated substrings that keep at least half of their codes in another context. MB/s is per core, of
processor time, in one process. What was learnt is kept in ``--keep`` and taken from there the next time.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from megatron_proxy.compressors import Compressor
from megatron_proxy.data.prepare.recipe import Recipe, load, save
from megatron_proxy.tools.inspection.stability import stability

BPE_SIZE = 32_768
COLUMNS = ("bytes per code", "elsewhere", "literals, of bytes", "random", "span", "repeats", "MB/s", "built in")


@dataclass(frozen=True)
class Variant:
    """One row: a label, and the compressor with its options."""

    label: str
    name: str
    options: dict[str, Any]


VARIANTS = (
    Variant("identity", "identity", {}),
    Variant("sentencepiece, 16,384", "sentencepiece", {}),
    Variant("hf, byte-level BPE, 32,768", "hf", {}),
    Variant("tiktoken, the same ranks", "tiktoken", {"pattern": "gpt2"}),
    Variant("trie, 65,280", "trie", {}),
    Variant("trie, 65,280, 3 rounds", "trie", {"rounds": 3}),
    Variant("trie, ends words, 2.5 candidates", "trie", {"ends": "words", "candidates": 2.5}),
    Variant("trie, 16,384", "trie", {"symbols": 16_384}),
    Variant("trie, 4,096", "trie", {"symbols": 4_096}),
    Variant("neural", "neural", {}),
    Variant("neural, ends anywhere, 1 candidate", "neural", {"ends": "anywhere", "candidates": 1.0}),
    Variant("neural, counts alone", "neural", {"counts": 1.0}),
    Variant("neural, half the model", "neural", {"counts": 0.5}),
    Variant("neural, the model alone", "neural", {"counts": 0.0}),
    Variant("neural, border 4 bits", "neural", {"border": 4.0}),
    Variant("neural-ac, 16 bits", "neural-ac", {}),
    Variant("neural-ac, the model alone", "neural-ac", {"counts": 0.0}),
    Variant("neural-ac, 8 bits", "neural-ac", {"bits": 8}),
    Variant("zstd", "zstd", {}),
    Variant("zstd, whole documents", "zstd", {"segment": "document"}),
    Variant("gzip", "gzip", {}),
    Variant("doublebyte", "doublebyte", {}),
    Variant("halfbyte", "halfbyte", {}),
    Variant("doublebit", "doublebit", {}),
    Variant("bit", "bit", {}),
)


def read(path: Path) -> Iterator[bytes]:
    """The documents of a .jsonl file."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)["text"].encode("utf-8", "surrogatepass")


def byte_pairs(corpus: Path, folder: Path) -> dict[str, str]:
    """Train byte-level BPE on a corpus; the paths of its tokenizer.json and of the same merges as tiktoken's ranks."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    from megatron_proxy.compressors.tokenizers.hf import _BYTE_OF

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=BPE_SIZE, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator((text.decode("utf-8", "replace") for text in read(corpus / "train.jsonl")), trainer)
    model, ranks = folder / "tokenizer.json", folder / "ranks.tiktoken"
    tokenizer.save(str(model))
    with ranks.open("w") as file:
        for token, rank in sorted(tokenizer.get_vocab().items(), key=lambda entry: entry[1]):
            print(base64.b64encode(bytes(_BYTE_OF[c] for c in token)).decode(), rank, file=file)
    return {"hf": str(model), "tiktoken": str(ranks)}


def made(variant: Variant, corpus: Path, keep: Path) -> tuple[Compressor, float]:
    """The compressor, learnt or taken from ``keep``, and the processor seconds that learning took."""
    kept = keep / corpus.name / "".join(c if c.isalnum() else "_" for c in variant.label)
    if Path(f"{kept}.json").exists():
        return load(Path(f"{kept}.json")), json.loads(Path(f"{kept}.seconds").read_text())
    options = dict(variant.options)
    begin = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        if variant.name in ("hf", "tiktoken"):
            options["model" if variant.name == "hf" else "ranks"] = byte_pairs(corpus, Path(folder))[variant.name]
        if variant.name.startswith("neural") and options.get("counts") != 1.0:
            # The model is the same for all of these: train it once.
            options["checkpoint"] = str(keep / corpus.name / "neural.checkpoint")
        kept.parent.mkdir(parents=True, exist_ok=True)
        compressor = Recipe(variant.name, options).make(lambda: read(corpus / "train.jsonl"))
        seconds = time.process_time() - begin
    save(compressor, kept)
    Path(f"{kept}.seconds").write_text(json.dumps(seconds))
    return compressor, seconds


def bytes_per_code(compressor: Compressor, documents: list[bytes]) -> float:
    """Source bytes ÷ codes."""
    return sum(map(len, documents)) / sum(len(compressor.encode(document)) for document in documents)


def megabytes_per_second(compressor: Compressor, documents: list[bytes]) -> float:
    """Of processor time; the best of three passes, since others share the machine."""
    compressor.encode_spans(documents[0])
    best = float("inf")
    for _ in range(3):
        begin = time.process_time()
        for document in documents:
            compressor.encode_spans(document)
        best = min(best, time.process_time() - begin)
    return sum(map(len, documents)) / best / 1e6


def row(variant: Variant, corpus: Path, others: list[Path], keep: Path, pieces: int) -> list[str]:
    """One line of a corpus's table."""
    compressor, seconds = made(variant, corpus, keep)
    held_out = list(read(corpus / "held_out.jsonl"))
    elsewhere = [document for other in others for document in read(other / "held_out.jsonl")]
    codes = [compressor.encode(document) for document in held_out]
    literals = sum(int(np.count_nonzero(each < 256)) for each in codes) if compressor.literals else 0
    # Repeats lie within a document or between two: all documents are searched, the longest pieces come first.
    found = stability(compressor, sorted(held_out, key=len, reverse=True), pieces=pieces)
    return [
        variant.label,
        f"{sum(map(len, held_out)) / sum(map(len, codes)):.2f}",
        f"{bytes_per_code(compressor, elsewhere):.2f}" if elsewhere else "",
        f"{100 * literals / sum(map(len, held_out)):.1f} %",
        f"{found.random:.2f}",
        f"{found.span:.2f}",
        f"{100 * found.repeats_kept:.0f} %",
        f"{megabytes_per_second(compressor, held_out):.1f}",
        f"{seconds:.0f} s",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpora", type=Path, nargs="+", help="folders with train.jsonl and held_out.jsonl")
    parser.add_argument("--keep", type=Path, default=Path("build/compressors"), help="folder for what was learnt")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="only these compressors")
    parser.add_argument("--pieces", type=int, default=64, help="how many pieces stability is measured on")
    args = parser.parse_args()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    for corpus in args.corpora:
        others = [other for other in args.corpora if other != corpus]
        print(f"\n### {corpus.name}\n\n| compressor | {' | '.join(COLUMNS)} |\n|{' --- |' * (len(COLUMNS) + 1)}")
        for variant in VARIANTS:
            if not args.only or variant.name in args.only:
                print("| " + " | ".join(row(variant, corpus, others, args.keep, args.pieces)) + " |", flush=True)


if __name__ == "__main__":
    main()
