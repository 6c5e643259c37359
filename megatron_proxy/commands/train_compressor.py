"""Let a compressor learn from a corpus, once, and write what it learnt.

  megatron-proxy train-compressor sentencepiece --input corpus.jsonl --output data/corpus.model
  megatron-proxy prepare … --compressor sentencepiece --compressor-from data/corpus.model.json

writes the compressor's file (FILE; several files are FILE.<suffix>), and FILE.json, which describes the compressor
with all its settings. 'prepare' would let a compressor learn by itself: this is for shards, which must share one, and
for corpora that are to share their symbols.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from .. import compressors
from ..data.corpus import DEFAULT_KEY, documents
from ..errors import CorpusError
from . import _flags


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("compressor", metavar="NAME", help=f"which compressor: {', '.join(compressors.names())}")
    _flags.add_input(parser, required=True)
    parser.add_argument(
        "--json-key", default=DEFAULT_KEY, metavar="KEY", help="key of the documents' text (default: %(default)s)"
    )
    parser.add_argument("--output", required=True, type=Path, metavar="FILE", help="where the model goes")
    _flags.add_compressor_options(parser, compressors.names())


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    # Not for --help.
    from ..data.prepare.recipe import recipes, save
    from ..data.prepare.staging import writing

    (recipe,) = recipes([args.compressor], _flags.compressor_options(args), [])
    with writing(args.output):
        args.output.parent.mkdir(parents=True, exist_ok=True)
    if next(documents(args.input, args.json_key, skip_bad_lines=args.skip_bad_lines), None) is None:
        raise CorpusError("the corpus holds no documents", where="--input")
    compressor = recipe.make(lambda: documents(args.input, args.json_key, skip_bad_lines=args.skip_bad_lines))
    with writing(args.output):
        written = save(compressor, args.output)
    print(f"wrote {', '.join(map(str, written))}")
    print(f"use it: prepare --compressor {compressor.name} --compressor-from {written[-1]}")
    return 0
