"""Let a compressor learn from a corpus, once, and write what it learnt.

  megatron-proxy train-compressor sentencepiece --input corpus.jsonl --output data/corpus.model
  megatron-proxy prepare … --compressor sentencepiece --compressor-from data/corpus.model.json

writes the compressor's file (FILE; several files are FILE.<suffix>), and FILE.json, which describes the compressor
with all its settings. 'prepare' would let a compressor learn by itself: this is for shards, which must share one, and
for corpora that are to share their symbols.
"""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from .. import compressors
from ..common.storage.files import require_file
from ..data.corpus import documents
from ..errors import CorpusError
from . import _flags


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("compressor", metavar="NAME", help=f"which compressor: {', '.join(compressors.names())}")
    _flags.add_input(parser, required=True)
    _flags.add_json_key(parser)
    parser.add_argument("--output", required=True, type=Path, metavar="FILE", help="where the model goes")
    _flags.add_compressor_options(parser, compressors.names())


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    # Not for --help.
    from ..data.prepare import learning
    from ..data.prepare.recipe import recipes, save
    from ..data.prepare.repeat import check_samples
    from ..data.prepare.staging import writing

    (recipe,) = recipes([args.compressor], _flags.compressor_options(args), [])
    require_file(args.output, overwrite=True)
    recipe = recipe.checked()
    reading = _flags.reading(args)
    if next(documents(args.input, args.json_key, **reading), None) is None:
        raise CorpusError("the corpus holds no documents", where="--input")
    label = f"reading what {recipe.name} learns from"
    corpus = learning.FilesToLearnFrom(args.input, args.json_key, label=label, **reading)
    compressor = recipe.make(corpus)
    check_samples(compressor, 0)
    with writing(args.output):
        written = save(compressor, args.output)
    print(f"wrote {', '.join(map(str, written))}")
    print(f"{compressor.name}: {compressor.num_symbols:,} symbols")
    if recipe.made is None and (note := learning.too_small(corpus.bytes, compressor.vocabulary)):
        print(note)
    source = shlex.quote(str(written[-1]))
    print(f"use it: prepare --compressor {compressor.name} --compressor-from {source}")
    return 0
