"""Make a Megatron checkpoint of a Hugging Face folder, to train on.

  megatron-proxy import --load exported/run --prefix data/corpus --compressor zstd --output checkpoints/imported
  megatron-proxy import --load Qwen3-0.6B --as-proxy --prefix data/corpus --output checkpoints/imported

DIR is what `megatron-proxy export` wrote, as it is or trained on with transformers: a model over specials and bytes.
All its weights are copied exactly. The rows of the compressed symbols, which an export drops, are made anew for the
prepared dataset PREFIX, as Megatron initialises them.

With --as-proxy DIR is a model over tokens, with its tokenizer, which must be the one that PREFIX was prepared by
(prepare --compressor hf --hf-model DIR/tokenizer.json): its tokens become the symbols, bytes and sentinels get rows.
Llama, Mistral, Qwen 2 and 3 are taken, and what goes by their names (SmolLM is a Llama).

The checkpoint loads into any parallel layout, without an optimizer, and training begins at iteration 0:

  torchrun … pretrain_gpt.py … --load checkpoints/imported --save checkpoints/next
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from ..common.storage.files import require_free
from ..errors import ConfigurationError, check_count
from . import _model

_BYTE_ROWS: Final = ("tokens", "mean", "drawn")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("--load", required=True, metavar="DIR", help="the Hugging Face folder")
    parser.add_argument("--output", required=True, metavar="CKPT", help="the checkpoint folder to write")
    parser.add_argument("--overwrite", action="store_true", help="replace CKPT, with all that is in it")
    parser.add_argument(
        "--prefix", required=True, metavar="PREFIX", help="the prepared dataset that training goes on with"
    )
    parser.add_argument(
        "--compressor", metavar="NAME", help="the compressed view of it: its symbols get rows (with --as-proxy: hf)"
    )
    parser.add_argument(
        "--as-proxy", action="store_true", help="DIR is a model over tokens: they become the symbols of a checkpoint"
    )
    parser.add_argument("--dtype", choices=_model.DTYPES, help="what to store (default: what DIR stores)")
    new = parser.add_argument_group("new rows")
    new.add_argument(
        "--byte-rows",
        choices=_BYTE_ROWS,
        help="what bytes begin as, with --as-proxy: the token of that byte alone where there is one, the mean of the "
        "tokens that begin with it, or drawn (default: tokens)",
    )
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
    check_count(args.make_vocab_size_divisible_by, "--make-vocab-size-divisible-by")
    if args.byte_rows and not args.as_proxy:
        raise ConfigurationError("bytes have rows already", where="--byte-rows", fix="give --as-proxy, or leave it out")
    if not args.as_proxy and not args.compressor:
        raise ConfigurationError(
            "which compressed view gets rows?",
            where="--compressor",
            fix="name one of the prefix; or begin from a model over tokens, with --as-proxy",
        )
    from ..model.hf.importing import import_folder
    from ..model.hf.rows import Bytes

    made = import_folder(
        Path(args.load),
        Path(args.output),
        prefix=args.prefix,
        compressor=args.compressor or "hf",
        tokens=Bytes(args.byte_rows or "tokens") if args.as_proxy else None,
        dtype=_model.dtype(args),
        seed=args.seed,
        std=args.init_method_std,
        divisible_by=args.make_vocab_size_divisible_by,
        overwrite=args.overwrite,
    )
    new = "bytes and sentinels" if args.as_proxy else f"{made.new_rows:,} {args.compressor} symbols"
    for note in made.notes:
        print(note)
    print(f"wrote {args.output}, with new rows for {new}; train on with")
    print(f"  pretrain_gpt.py --load {args.output} {' '.join(made.flags)} …")
    return 0
