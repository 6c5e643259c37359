r"""Look at a prepared dataset: both views side by side, figures, and how stable the mapping between them is.

  megatron-proxy inspect data/corpus
  megatron-proxy inspect data/corpus --compare --html report.html
  megatron-proxy inspect data/corpus --compressor zstd --document 7 --json

Stability is the paper's measure: edit distance of the code streams after 10 % of the characters are deleted, divided by
their length; 0.10 is the least, about 0.95 means that nothing stays in place.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..common.storage.files import require_file, write_output
from ..data.dataset import manifest
from ..data.dataset.layout import Layout
from ..errors import ConfigurationError
from ..tools.inspection import inspect
from ..tools.inspection.page import page
from ..tools.inspection.stability import PIECES
from ..tools.inspection.text import comparison, report
from . import _answer
from ._flags import split_names


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("prefix", metavar="PREFIX", help="the prefix that 'prepare' wrote")
    parser.add_argument(
        "--compressor",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME",
        help="the compressed views to look at (default: all that are prepared)",
    )
    parser.add_argument("--compare", action="store_true", help="one table with the views beside each other")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--html", type=Path, metavar="FILE", help="also write a page with plots")
    parser.add_argument("--document", type=int, metavar="N", help="the document to show side by side, from 0")
    parser.add_argument(
        "--pieces", type=int, default=PIECES, metavar="N", help="texts to measure stability on (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the deletions (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    if args.pieces < 1:
        raise ConfigurationError(f"{args.pieces} texts cannot be measured", where="--pieces", fix="give 1 or more")
    if args.html is not None:
        require_file(args.html, overwrite=True, flag="--html")
    prepared = list(manifest.read(args.prefix).compressed)
    names = split_names(args.compressor) or prepared
    if not names:
        raise ConfigurationError(
            "no compressed view is prepared",
            where=str(Layout(args.prefix).manifest),
            fix=manifest.prepare_command(args.prefix, "zstd"),
        )
    several = [inspect(args.prefix, name, document=args.document, pieces=args.pieces, seed=args.seed) for name in names]
    if args.html is not None:
        write_output(args.html, page(args.prefix, several).encode(), "--html")
        print(f"wrote {args.html}", file=sys.stderr)
    if args.json:
        _answer.show([figures.to_json() for figures in several])
    elif args.compare:
        print(comparison(several))
    else:
        print("\n".join(report(figures) for figures in several).rstrip("\n"))
    return 0
