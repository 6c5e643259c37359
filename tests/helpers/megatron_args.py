"""Megatron's arguments with the flags of proxy compression, parsed but not validated: no run is begun."""

import argparse
import warnings

from megatron.training import arguments as stock

from megatron_proxy.adaptor import arguments

DEFAULTS = (
    "--num-layers 2 --hidden-size 32 --num-attention-heads 4 --seq-length 64 --max-position-embeddings 64 "
    "--micro-batch-size 2 --global-batch-size 4 --train-iters 8 --split 80,10,10 --dataloader-type single --seed 1 "
    "--make-vocab-size-divisible-by 8 --proxy-compression trie"
)


def parser() -> argparse.ArgumentParser:
    with warnings.catch_warnings():
        # Megatron makes some of its flags from the syntax trees of its dataclasses.
        warnings.simplefilter("ignore", DeprecationWarning)
        return arguments.with_arguments(stock.add_megatron_arguments)(argparse.ArgumentParser(allow_abbrev=False))


def parse(*flags: str) -> argparse.Namespace:
    """Arguments from :data:`DEFAULTS` and ``flags``, each of which may hold several words; later ones win."""
    args = parser().parse_args(" ".join([DEFAULTS, *flags]).split())
    args.rank, args.world_size = 0, 1
    # Megatron's validation would set these.
    args.data_parallel_size = 1
    args.padded_vocab_size = None
    return args


def lacking(flags: str) -> list[str]:
    """The flags among these words that this release of Megatron does not have."""
    known = parser()._option_string_actions
    return [word for word in flags.split() if word.startswith("--") and word not in known]
