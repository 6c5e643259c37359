"""The schedule of the learning rate: Megatron goes on with the checkpoint's, or has to be told which one to take."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from ...errors import ConfigurationError


def check(state: Mapping[str, Any], args: argparse.Namespace) -> None:
    """Refuse a schedule that is not the checkpoint's; Megatron would, by an assertion, once the model is loaded.

    ``state`` is the checkpoint's ``opt_param_scheduler``.

    Raises
    ------
    ConfigurationError
        With the flags that give the differing value, and those that say which of the two to take.
    """
    if args.override_opt_param_scheduler or args.use_checkpoint_opt_param_scheduler:
        return
    for name, now, flags in _values(args):
        was = state.get(name, now)
        if was != now:
            raise ConfigurationError(
                f"the learning rate's schedule has {name} {was} in the checkpoint, and {now} in this run",
                where=flags,
                fix="give --override-opt-param-scheduler to go on with this run's schedule, or "
                "--use-checkpoint-opt-param-scheduler to go on with the checkpoint's",
            )


def _values(args: argparse.Namespace) -> list[tuple[str, Any, str]]:
    """What Megatron compares, under its names, with the flags that each value comes from; steps are samples."""
    kind, each = ("samples", 1) if args.train_samples else ("iters", args.global_batch_size)
    length, decay, warmup = (getattr(args, f"{name}_{kind}") for name in ("train", "lr_decay", "lr_warmup"))
    run = "--train-samples" if args.train_samples else "--train-iters, --global-batch-size"
    if not length:
        return []
    steps = (decay or length) * each
    return [
        ("max_lr", args.lr, "--lr"),
        ("min_lr", args.min_lr, "--min-lr"),
        (
            "lr_warmup_steps",
            warmup * each if args.lr_warmup_fraction is None else args.lr_warmup_fraction * steps,
            f"--lr-warmup-{kind}, --lr-warmup-fraction",
        ),
        ("lr_decay_steps", steps, run if decay is None else f"--lr-decay-{kind}, --global-batch-size"),
        ("lr_decay_style", args.lr_decay_style, "--lr-decay-style"),
        ("start_wd", args.start_weight_decay, "--start-weight-decay"),
        ("end_wd", args.end_weight_decay, "--end-weight-decay"),
        ("wd_incr_steps", length * each, run),
        ("wd_incr_style", args.weight_decay_incr_style, "--weight-decay-incr-style"),
    ]
