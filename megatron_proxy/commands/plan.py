"""Make the plans of a training command before it is run, with the same flags, on one processor core and without a GPU.

  megatron-proxy plan --world-size 1024 pretrain_gpt.py --proxy-compression zstd --data-path data/corpus …

At the start of a training its first rank makes the plans while all others wait for it, and where that takes longer than
--distributed-timeout-minutes the job ends. Plans made beforehand are found in --data-cache-path, or beside the data.
"""

from __future__ import annotations

import argparse
import os

from . import _flags


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument(
        "--world-size",
        type=int,
        default=int(os.environ.get("WORLD_SIZE", "1")),
        metavar="N",
        help="ranks of the training, which its flags must fit (default: the variable WORLD_SIZE, or 1)",
    )
    parser.add_argument("script", metavar="SCRIPT", help="the training script")
    parser.add_argument("flags", nargs=argparse.REMAINDER, metavar="FLAGS", help="its flags, as for the training")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    from ..adaptor import beforehand

    _flags.check_counts(args, "world_size")
    beforehand.plan(args.script, args.flags, args.world_size)
    print("the plans are made: training with these flags finds them")
    return 0
