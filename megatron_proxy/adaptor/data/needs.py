"""How many samples a run still reads, counted from where its checkpoint stopped.

Megatron counts as if every part of a run had had today's flags: so many iterations of so many samples, so many
evaluations. After a restart with another batch size or other evaluations a checkpoint has consumed more than that.
Stock's datasets of one prefix survive, since they hold whole epochs; ours hold what is needed, so they are asked for
that: what the checkpoint has consumed and what is still to come.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from megatron.core.datasets.utils import Split

from ...errors import DatasetError
from .. import run
from ..run import Run


@run.hook
def count_from_checkpoint(
    get_train_valid_test_num_samples: Callable[..., Any], current: Run, *args: Any, **kwargs: Any
) -> Any:
    """Megatron's sizes of the three datasets, none less than what will have been consumed at the end of the run."""
    train, valid, test = get_train_valid_test_num_samples(*args, **kwargs)
    train = max(train, current.args.consumed_train_samples + still_read(current.args, Split.train))
    # Full validation has no size: one epoch.
    if valid is not None:
        # Without training Megatron begins it anew.
        consumed = 0 if current.args.skip_train else current.args.consumed_valid_samples
        valid = max(valid, consumed + still_read(current.args, Split.valid))
    return train, valid, test


@run.hook
def load_what_is_left(
    build_pretraining_data_loader: Callable[..., Any], current: Run, dataset: Any, consumed_samples: int
) -> Any:
    """Megatron's maker of data loaders, which refuses to begin at the end of a dataset even if nothing will be read.

    So it does for the training data of a finished run that is started again.
    """
    if dataset is not None and len(dataset):
        _check_length(current.args, dataset, consumed_samples)
        consumed_samples = min(consumed_samples, len(dataset) - 1)
    return build_pretraining_data_loader(dataset, consumed_samples)


def _check_length(args: argparse.Namespace, dataset: Any, consumed: int) -> None:
    """Refuse a dataset that will run out, where Megatron would train until it does.

    Raises
    ------
    DatasetError
        A blend without weights, of which Megatron reads one epoch and no more.
    """
    split = getattr(dataset, "split", None) or getattr(dataset, "index_split", None)
    if split is None or (split is Split.valid and args.full_validation):
        return
    left = still_read(args, split)
    if left and (needed := consumed + left) > len(dataset):
        raise DatasetError(
            f"the {split.name} part has {len(dataset):,} samples, and this run reads {needed:,}: of a blend without "
            "weights Megatron takes one epoch",
            where="--data-path",
            fix="give the prefixes weights, or "
            + ("a shorter run" if split is Split.train else "fewer --eval-iters, or a larger --eval-interval"),
        )


def still_read(args: argparse.Namespace, split: Split) -> int:
    """Samples of a split that the run reads once its checkpoint is loaded; not for full validation, which reads all."""
    if split is Split.train:
        return 0 if args.skip_train else _training_samples(args)
    batch = getattr(args, "eval_global_batch_size", None) or args.global_batch_size
    return int(args.eval_iters * batch * (_evaluations(args) if split is Split.valid else 1))


def _training_samples(args: argparse.Namespace) -> int:
    """Samples of the iterations that are left."""
    from megatron.core import num_microbatches_calculator as batches

    left = range(args.iteration, args.train_iters or 0)
    if not (getattr(args, "step_batch_size_schedule", None) or getattr(args, "rampup_batch_size", None)):
        return len(left) * int(args.global_batch_size)
    consumed = args.consumed_train_samples
    for _ in left:
        batches.update_num_microbatches(consumed, consistency_check=False)
        consumed += batches.get_current_global_batch_size()
    batches.update_num_microbatches(args.consumed_train_samples, consistency_check=False)
    return int(consumed - args.consumed_train_samples)


def _evaluations(args: argparse.Namespace) -> int:
    """Evaluations that are left: those between iterations, and the one at the end."""
    if args.skip_train:
        return 1
    first = max(args.iteration, (getattr(args, "start_eval_at_iter", None) or 0) - 1)
    return 1 + max(0, args.train_iters // args.eval_interval - first // args.eval_interval)
