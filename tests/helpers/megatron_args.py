"""Megatron's arguments with the flags of proxy compression, parsed but not validated: no run is begun."""

import argparse
import functools
import warnings

from megatron.core.datasets.gpt_dataset import GPTDatasetConfig
from megatron.training import arguments as stock
from megatron.training.utils import get_blend_and_blend_per_split

from megatron_proxy.adaptor import arguments, run

DEFAULTS = (
    "--num-layers 2 --hidden-size 32 --num-attention-heads 4 --seq-length 64 --max-position-embeddings 64 "
    "--micro-batch-size 2 --global-batch-size 4 --train-iters 8 --split 80,10,10 --dataloader-type single --seed 1 "
    "--make-vocab-size-divisible-by 8 --proxy-compression trie"
)


@functools.cache
def parser() -> argparse.ArgumentParser:
    """Megatron's, with our flags; it takes a third of a second to make, and parsing leaves it as it is."""
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


def dataset_config(args: argparse.Namespace, **more) -> GPTDatasetConfig:
    """What a pretraining script tells Megatron's builder of datasets; the run begins here."""
    blend, per_split = get_blend_and_blend_per_split(args)
    return GPTDatasetConfig(
        random_seed=args.seed,
        sequence_length=args.seq_length,
        blend=blend,
        blend_per_split=per_split,
        split=None if per_split else args.split,
        tokenizer=run.of(args).tokenizer,
        reset_position_ids=args.reset_position_ids,
        reset_attention_mask=args.reset_attention_mask,
        eod_mask_loss=args.eod_mask_loss,
        mid_level_dataset_surplus=args.mid_level_dataset_surplus,
        multiple_validation_sets=args.multiple_validation_sets,
        full_validation=args.full_validation,
        **more,
    )


def lacking(flags: str) -> list[str]:
    """The flags among these words that this release of Megatron does not have."""
    known = parser()._option_string_actions
    return [word for word in flags.split() if word.startswith("--") and word not in known]
