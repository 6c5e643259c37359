"""Every compressor beside every other: bytes per code, stability, speed, as a table.

    python examples/stdlib_corpus.py build/corpora/stdlib
    python tests/bench/compressor_table.py build/corpora/stdlib --compressors identity gzip zstd sentencepiece trie

Each is built with its default options on ``train.jsonl`` and measured on ``held_out.jsonl``; the columns are those of
``zstd_grid.py``, with the number of symbols. ``NAME:OPTION=VALUE,…`` sets options.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from zstd_grid import COLUMNS, measure, read

from megatron_proxy import compressors


def options_of(text: str) -> tuple[str, dict[str, object]]:
    """(name, options) of ``NAME:OPTION=VALUE,…``."""
    name, _, given = text.partition(":")
    known = {option.name: option for option in compressors.get(name).options}
    chosen = {option.name: option.default for option in known.values()}
    for one in filter(None, given.split(",")):
        option, _, value = one.partition("=")
        chosen[option] = known[option].type(value)
    return name, chosen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="folder with train.jsonl and held_out.jsonl")
    parser.add_argument("--compressors", nargs="+", required=True, metavar="NAME[:OPTION=VALUE,…]")
    parser.add_argument("--pieces", type=int, default=32, help="how many pieces stability is measured on")
    args = parser.parse_args()
    train, held_out = read(args.corpus / "train.jsonl"), read(args.corpus / "held_out.jsonl")
    print("| " + " | ".join(["compressor", "symbols", *COLUMNS]) + " |")
    print("| " + " | ".join(["---"] * (len(COLUMNS) + 2)) + " |")
    for text in args.compressors:
        name, options = options_of(text)
        compressor = compressors.get(name).build(options, lambda: iter(train))
        row = [text, f"{compressor.vocab_size:,}", *measure(compressor, held_out, args.pieces)]
        print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
