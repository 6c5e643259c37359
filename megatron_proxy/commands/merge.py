"""Put the shards of a prefix together: the dataset that one run over the whole corpus would have made.

  megatron-proxy merge data/corpus

takes data/corpus_shard-00000-of-00008 and its siblings, each made by 'megatron-proxy prepare … --shard i/8'. It checks
that none is missing, that they belong together, and their checksums.
"""

from __future__ import annotations

import argparse

from ..data.shards.merge import merge


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("prefix", metavar="PREFIX", help="the --output-prefix that the shards were made for")
    parser.add_argument("--overwrite", action="store_true", help="replace a dataset that is there")
    parser.add_argument("--remove-shards", action="store_true", help="remove the shards at the end")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    merge(args.prefix, overwrite=args.overwrite, remove_shards=args.remove_shards)
    return 0
