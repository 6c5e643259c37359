"""Length against stability of the compressors whose symbols are byte strings: ``trie``, ``neural``, and their options.

    python examples/stdlib_corpus.py build/corpora/stdlib
    python tests/bench/debian_reference.py unpacked build/corpora/debian      (see there for the packages)
    python tests/bench/bench_strings.py build/corpora/stdlib build/corpora/debian

Longer symbols are hit by more edits, so neither length nor stability says anything alone. Each row gives both, on the
held-out documents of the corpus that was learnt from and on those of the other corpora: source bytes per code, and
edit distance of the code streams ÷ their length after deleting 10 % of the characters, over all pieces of 4,000 bytes
(:mod:`bench_compressors` takes one piece of each of 64 documents, so its figures differ a little). "Per byte" is the
distance ÷ a tenth of the bytes per code: how many codes change for each byte that is deleted. Of two compressors the
one with the lower figure is more stable at the same length. The last column counts what is better than in the first
row.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from bench_compressors import Variant, bytes_per_code, made, read

from megatron_proxy.compressors import Compressor
from megatron_proxy.tools.inspection.stability import DELETED_SHARE, PIECE_BYTES, stability

WORDS = {"ends": "words", "candidates": 2.5}
PLAIN = {"ends": "anywhere", "candidates": 1.0}
BEFORE = PLAIN | {"counts": 0.8, "temperature": 1.0, "edits": 0.06}
VARIANTS = (
    Variant("trie", "trie", {}),
    Variant("trie, 16,384 symbols", "trie", {"symbols": 16_384}),
    Variant("trie, 98,304 symbols", "trie", {"symbols": 98_304}),
    Variant("trie, ends words", "trie", {"ends": "words"}),
    Variant("trie, 2.5 candidates", "trie", {"candidates": 2.5}),
    Variant("trie, ends words, 2.5 candidates", "trie", WORDS),
    Variant("trie, ends words, 3 candidates", "trie", WORDS | {"candidates": 3.0}),
    Variant("trie, ends words, 2.5 candidates, 16,384 symbols", "trie", WORDS | {"symbols": 16_384}),
    Variant("neural", "neural", {}),
    Variant("neural, 2 candidates", "neural", {"candidates": 2.0}),
    Variant("neural, 3 candidates", "neural", {"candidates": 3.0}),
    Variant("neural, temperature 1", "neural", {"temperature": 1.0}),
    Variant("neural, temperature 1.5", "neural", {"temperature": 1.5}),
    Variant("neural, half the model", "neural", {"counts": 0.5}),
    Variant("neural, the model alone", "neural", {"counts": 0.0}),
    Variant("neural, 3 % edits", "neural", {"edits": 0.03}),
    Variant("neural, 16,384 symbols", "neural", {"symbols": 16_384}),
    Variant("neural, ends anywhere, 1 candidate", "neural", PLAIN),
    Variant("the same, no model, 6 % edits", "neural", PLAIN | {"counts": 1.0, "edits": 0.06}),
    Variant("the same, 0.8 counts, temperature 1, 6 % edits", "neural", BEFORE),
)
COLUMNS = ("bytes per code", "random", "per byte", "elsewhere", "random", "per byte", "better in")


def pieces(documents: list[bytes]) -> list[bytes]:
    """All documents, cut."""
    return [part[k : k + PIECE_BYTES] for part in documents for k in range(0, len(part), PIECE_BYTES)]


def length_and_distance(compressor: Compressor, documents: list[bytes]) -> tuple[float, float]:
    """Source bytes per code, and the distance that random deletions make."""
    parts = pieces(documents)
    return bytes_per_code(compressor, documents), stability(compressor, parts, pieces=len(parts), repeats=0).random


def cells(figures: list[float], first: list[float]) -> list[str]:
    """A row of the table, from the figures at home and elsewhere; ``first`` are the first row's."""
    shown = []
    for length, distance in (figures[:2], figures[2:]):
        shown += [f"{length:.2f}", f"{distance:.3f}", f"{distance / DELETED_SHARE / length:.2f}"]
    gains = [sign * (a - b) > 0 for sign, a, b in zip((1, -1, 1, -1), figures, first, strict=True)]
    return [*shown, f"{sum(gains)} of 4" if figures is not first else ""]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpora", type=Path, nargs="+", help="folders with train.jsonl and held_out.jsonl")
    parser.add_argument("--keep", type=Path, default=Path("build/compressors"), help="folder for what was learnt")
    parser.add_argument("--only", nargs="+", default=[], metavar="LABEL", help="only these rows")
    args = parser.parse_args()
    held_out = {corpus: list(read(corpus / "held_out.jsonl")) for corpus in args.corpora}
    for corpus in args.corpora:
        elsewhere = [document for other in args.corpora if other != corpus for document in held_out[other]]
        print(f"\n### {corpus.name}\n\n| compressor | {' | '.join(COLUMNS)} |\n|{' --- |' * (len(COLUMNS) + 1)}")
        first: list[float] = []
        for variant in VARIANTS:
            if args.only and variant.label not in args.only:
                continue
            compressor, _ = made(variant, corpus, args.keep)
            figures = [x for texts in (held_out[corpus], elsewhere) for x in length_and_distance(compressor, texts)]
            first = first or figures
            print("| " + " | ".join([variant.label, *cells(figures, first)]) + " |", flush=True)


if __name__ == "__main__":
    main()
