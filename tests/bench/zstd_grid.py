"""Which zstd settings make the best proxy: bytes per code, stability and speed over a grid, as a table.

    python examples/stdlib_corpus.py build/corpora/stdlib
    python tests/bench/zstd_grid.py build/corpora/stdlib --level 3 12 19 --segment-bytes 128 512

Every combination of the values given is built on ``train.jsonl`` and measured on ``held_out.jsonl``: source bytes per
code; edit distance of the code streams ÷ their length after deleting 10 % of the characters at random and as one span
(pieces of 4,000 bytes); the share of codes of repeated substrings that they keep in another context; literal codes;
MB/s of encoding per second of processor time.

    python tests/bench/zstd_grid.py build/corpora/stdlib --beside zstd zstd:form=bytes gzip sentencepiece trie

puts whole compressors beside each other instead, ``NAME:OPTION=VALUE,…``, with their number of symbols.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from megatron_proxy import compressors
from megatron_proxy.compressors import Compressor
from megatron_proxy.tools.inspection.stability import stability

COLUMNS = ("bytes/code", "random", "span", "kept", "literals", "MB/s")


def read(path: Path) -> list[bytes]:
    """The documents of a .jsonl file."""
    return [json.loads(line)["text"].encode("utf-8", "surrogatepass") for line in path.open(encoding="utf-8")]


def measure(compressor: Compressor, documents: list[bytes], pieces: int) -> list[str]:
    """One row of the table."""
    compressor.encode(documents[0])
    start = time.process_time()
    codes = [compressor.encode(document) for document in documents]
    seconds = time.process_time() - start
    count, size = sum(map(len, codes)), sum(map(len, documents))
    literals = sum(int(np.count_nonzero(each < 256)) for each in codes) if compressor.literals else 0
    found = stability(compressor, documents, pieces=pieces)
    figures = (size / count, found.random, found.span, found.repeat_codes_kept, literals / count)
    return [*(f"{figure:.2f}" for figure in figures), f"{size / seconds / 1e6:.1f}"]


def options_of(text: str) -> tuple[str, dict[str, Any]]:
    """(name, options) of ``NAME:OPTION=VALUE,…``."""
    name, _, given = text.partition(":")
    known = {option.name: option for option in compressors.get(name).options}
    chosen = {option.name: option.default for option in known.values()}
    for one in filter(None, given.split(",")):
        option, _, value = one.partition("=")
        chosen[option] = known[option].type(value)
    return name, chosen


def print_row(cells: Sequence[str]) -> None:
    print("| " + " | ".join(cells) + " |", flush=True)


def beside(texts: Sequence[str], train: list[bytes], held_out: list[bytes], pieces: int) -> None:
    """The table of whole compressors."""
    columns = ["compressor", "symbols", *COLUMNS]
    print_row(columns)
    print_row(["---"] * len(columns))
    for text in texts:
        name, options = options_of(text)
        compressor = compressors.get(name).build(options, lambda: iter(train))
        print_row([text, f"{compressor.num_symbols:,}", *measure(compressor, held_out, pieces)])


def grid(name: str, values: dict[str, list[Any]], train: list[bytes], held_out: list[bytes], pieces: int) -> None:
    """The table of one compressor's options; those with one value have no column."""
    varied = [option for option, given in values.items() if len(given) > 1]
    print_row([*varied, *COLUMNS])
    print_row(["---"] * (len(varied) + len(COLUMNS)))
    for combination in itertools.product(*values.values()):
        chosen = dict(zip(values, combination, strict=True))
        compressor = compressors.get(name).build(chosen, lambda: iter(train))
        print_row([str(chosen[option]) for option in varied] + measure(compressor, held_out, pieces))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="folder with train.jsonl and held_out.jsonl")
    parser.add_argument("--compressor", default="zstd")
    parser.add_argument("--beside", nargs="+", metavar="NAME[:OPTION=VALUE,…]", help="these, without a grid")
    parser.add_argument("--pieces", type=int, default=32, help="how many pieces stability is measured on")
    known, _ = parser.parse_known_args()
    options = compressors.get(known.compressor).options
    for option in options:
        parser.add_argument(f"--{option.name}", dest=option.name, type=option.type, nargs="+", default=[option.default])
    args = vars(parser.parse_args())
    train, held_out = read(args["corpus"] / "train.jsonl"), read(args["corpus"] / "held_out.jsonl")
    if args["beside"]:
        beside(args["beside"], train, held_out, args["pieces"])
    else:
        grid(known.compressor, {option.name: args[option.name] for option in options}, train, held_out, args["pieces"])


if __name__ == "__main__":
    main()
