"""Check a prepared dataset: every file's checksum, every index, every compressor; with --deep every document.

  megatron-proxy verify data/corpus --deep --workers 8

Training checks sizes and counts by itself; this reads everything. The exit code is 1 if anything is wrong.
"""

from __future__ import annotations

import argparse
import sys

from ..data.dataset.verify import verify
from . import _flags


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("prefix", metavar="PREFIX", help="the prefix that was prepared")
    parser.add_argument("--deep", action="store_true", help="decode every document and compare it with the raw view")
    _flags.add_running(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    found = verify(args.prefix, deep=args.deep, workers=args.workers, log_interval=args.log_interval)
    for problem in found.problems:
        print(f"wrong: {problem}", file=sys.stderr)
    print(f"{args.prefix}: {found.files} files, {found.bytes:,} bytes compared with their checksums")
    for name, documents in found.decoded.items():
        print(f"{args.prefix}: {documents:,} documents of the {name} view decoded")
    print(f"{len(found.problems)} problems" if found.problems else "all is well")
    return 1 if found.problems else 0
