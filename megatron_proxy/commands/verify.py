"""Check a prepared dataset: every file's checksum, every index, every compressor; with --deep every document.

  megatron-proxy verify data/corpus --deep --workers 8

Training checks sizes and counts by itself; this reads everything, cached plans included.
The exit code is 1 if anything is wrong.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from ..data.dataset.verify import verify
from . import _answer, _flags


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("prefix", metavar="PREFIX", help="the prefix that was prepared")
    parser.add_argument("--deep", action="store_true", help="decode every document, and encode some again, and compare")
    parser.add_argument(
        "--data-cache-path",
        type=Path,
        metavar="FOLDER",
        help="check the cached plans in this folder (default: those beside the data)",
    )
    _flags.add_running(parser)
    _answer.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    with _answer.answering(args) as answer:
        found = verify(
            args.prefix,
            deep=args.deep,
            workers=args.workers,
            log_interval=args.log_interval,
            plans=args.data_cache_path,
        )
        for problem in found.problems:
            answer.text(f"wrong: {problem}")
        answer.text(f"{args.prefix}: {found.files} files, {found.bytes:,} bytes compared with their checksums")
        if found.plans:
            answer.text(f"{args.prefix}: {found.plans} cached plans read")
        for name, documents in found.decoded.items():
            again = f", {found.encoded[name]:,} of them encoded again" if name in found.encoded else ""
            answer.text(f"{args.prefix}: {documents:,} documents of the {name} view decoded{again}")
        for note in found.notes:
            answer.text(f"{args.prefix}: {note}")
        answer.text(f"{len(found.problems)} problems" if found.problems else "all is well")
        answer.content({"prefix": args.prefix, "well": not found.problems, **asdict(found)})
    return 1 if found.problems else 0
