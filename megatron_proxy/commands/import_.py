"""Make a Megatron checkpoint of an exported Hugging Face folder, to train on.

  megatron-proxy import --load exported/run --prefix data/corpus --compressor zstd --output checkpoints/imported

DIR is what `megatron-proxy export` wrote, as it is or trained on with transformers: a Llama over specials and bytes.
All its weights are copied exactly. The rows of the compressed symbols, which an export drops, are made anew for the
prepared dataset PREFIX, as Megatron initialises them. The checkpoint loads into any parallel layout, without an
optimizer, and training begins at iteration 0:

  torchrun … pretrain_gpt.py … --load checkpoints/imported --save checkpoints/next
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from ..common.storage.files import require_free
from ..errors import ConfigurationError

_DTYPES: Final = ("float32", "bfloat16", "float16")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("--load", required=True, metavar="DIR", help="the Hugging Face folder")
    parser.add_argument("--output", required=True, metavar="CKPT", help="the checkpoint folder to write")
    parser.add_argument("--overwrite", action="store_true", help="replace CKPT, with all that is in it")
    parser.add_argument(
        "--prefix", required=True, metavar="PREFIX", help="the prepared dataset that training goes on with"
    )
    parser.add_argument(
        "--compressor", required=True, metavar="NAME", help="the compressed view of it: its symbols get rows"
    )
    parser.add_argument("--dtype", choices=_DTYPES, help="what to store (default: what DIR stores)")
    new = parser.add_argument_group("the symbols' rows")
    new.add_argument("--seed", type=int, default=1234, help="what they are drawn from (default: %(default)s)")
    new.add_argument(
        "--init-method-std", type=float, default=0.02, metavar="STD", help="their scale (default: %(default)s)"
    )
    new.add_argument(
        "--make-vocab-size-divisible-by",
        type=int,
        default=128,
        metavar="N",
        help="the number of ids is rounded up to a multiple of N; to load with tensor parallelism and get the same "
        "losses, give training's value times its --tensor-model-parallel-size (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    require_free(args.output, overwrite=args.overwrite)
    if not args.init_method_std > 0:
        raise ConfigurationError(f"must be above 0, not {args.init_method_std}", where="--init-method-std")
    if args.make_vocab_size_divisible_by < 1:
        raise ConfigurationError(
            f"must be at least 1, not {args.make_vocab_size_divisible_by}", where="--make-vocab-size-divisible-by"
        )
    import torch

    from ..model.hf.importing import import_folder

    made = import_folder(
        Path(args.load),
        Path(args.output),
        prefix=args.prefix,
        compressor=args.compressor,
        dtype=None if args.dtype is None else getattr(torch, args.dtype),
        seed=args.seed,
        std=args.init_method_std,
        divisible_by=args.make_vocab_size_divisible_by,
        overwrite=args.overwrite,
    )
    print(f"wrote {args.output}, with new rows for {made.new_rows:,} {args.compressor} symbols; train on with")
    print(f"  pretrain_gpt.py --load {args.output} {' '.join(made.flags)} …")
    return 0
