"""Resuming: a checkpoint tells how its samples were mixed, and a run that would mix them otherwise is told so.

Which samples a run has seen is a function of its settings. If a resumed run has others (most easily another horizon,
which by default is the run's own length), the samples before the checkpoint are no longer those that were read.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any, Final

from ..errors import ConfigurationError
from ..model import checkpoint
from .arguments import Settings
from .checks import rates

_NOT_MIXING: Final = ("proxy_compression", "proxy_validation_view", "proxy_format_embedding", "proxy_metrics")
"""Flags of ours that do not decide how samples are mixed; all others do."""


def remember(args: argparse.Namespace, settings: Settings, fingerprints: Sequence[str]) -> None:
    """Put what is not a flag, or a default that was resolved, into the arguments that every checkpoint stores."""
    args.proxy_horizon_samples = settings.horizon_samples
    args.proxy_peak_rate = settings.schedule.peak_rate
    args.proxy_fingerprints = list(fingerprints)


def look_ahead(args: argparse.Namespace) -> None:
    """Compare the checkpoint that Megatron will load with the run, before the model is built.

    What can be read of it only by Megatron itself, Megatron compares: see :func:`compare_settings`.

    Raises
    ------
    ConfigurationError
        As :func:`differences` does, and for a schedule of rates that Megatron would not go on with.
    CheckpointError
        The iteration is not there.
    """
    # An index can have millions of entries: one rank reads it, and the others wait where process groups are made.
    common = _common(args) if args.rank == 0 else None
    if common is None:
        return
    differences(common["args"], args)
    if common.get("iteration") and not (args.no_load_optim or args.skip_train):
        rates.check(common.get("opt_param_scheduler") or {}, args)


def go_on(args: argparse.Namespace) -> None:
    """Put into the arguments what Megatron finds in a checkpoint about how far the run is, where it loads none."""
    args.iteration = 0
    if (common := _common(args)) is not None:
        args.iteration = int(common.get("iteration") or 0)
        for name in ("consumed_train_samples", "consumed_valid_samples"):
            setattr(args, name, getattr(common["args"], name, 0))


def _common(args: argparse.Namespace) -> dict[str, Any] | None:
    """What the checkpoint that the run goes on from holds beside tensors, if that can be read here."""
    if not args.load or args.finetune or getattr(args, "non_persistent_ckpt_type", None):
        return None
    common = checkpoint.read_common(args.load, getattr(args, "ckpt_step", None))
    return common if common is not None and isinstance(common.get("args"), argparse.Namespace) else None


def compare_settings(check_checkpoint_args: Callable[..., Any]) -> Callable[..., Any]:
    """Megatron's comparison of a checkpoint's arguments with the run's, followed by ours."""

    def wrapped(checkpoint_args: argparse.Namespace, *rest: Any, **kwargs: Any) -> Any:
        from . import run

        result = check_checkpoint_args(checkpoint_args, *rest, **kwargs)
        current = run.active()
        if current is not None:
            for line in differences(checkpoint_args, current.args):
                run.tell(current.args, line)
        return result

    return wrapped


def differences(checkpoint_args: argparse.Namespace, args: argparse.Namespace) -> list[str]:
    """What to tell of a checkpoint that was mixed otherwise than the run that goes on from it.

    Raises
    ------
    ConfigurationError
        If its ids meant other things (another compressor, or other files of it, or a run without proxy compression), if
        one of the two has a format embedding and the other has not, or if its samples had another length.
    """
    _check_ids(checkpoint_args, args)
    _check_format_embedding(checkpoint_args, args)
    if getattr(checkpoint_args, "consumed_train_samples", None) == 0:
        # Imported weights, or a checkpoint before the first step: no sample was read yet.
        return []
    _check_length(checkpoint_args, args)
    found = []
    mixing = (name for name in vars(args) if name.startswith("proxy_") and name not in _NOT_MIXING)
    for name in ("seed", *mixing):
        was, now = getattr(checkpoint_args, name, None), getattr(args, name, None)
        if was != now:
            flag = f"--{name.replace('_', '-')}: {was} in the checkpoint, now {now}"
            found.append("--data-path: some other compressor files" if name == "proxy_fingerprints" else flag)
    if not found:
        return []
    return [
        f"warning: the run goes on from a checkpoint that was mixed otherwise ({'; '.join(found)}); the samples before "
        "it are not those that this run would have read"
    ]


def _check_ids(checkpoint_args: argparse.Namespace, args: argparse.Namespace) -> None:
    before = getattr(checkpoint_args, "proxy_compression", None)
    known = set(getattr(checkpoint_args, "proxy_fingerprints", None) or ())
    if before is None:
        trained = "without --proxy-compression"
    elif before != args.proxy_compression:
        trained = f"with --proxy-compression {before}"
    elif known and known.isdisjoint(args.proxy_fingerprints):
        trained = f"on views of another {before} compressor"
    else:
        return
    raise ConfigurationError(
        f"the checkpoint was trained {trained}, so its ids mean other things",
        where="--load",
        fix="resume with the same compressor, or give --finetune to begin a new run from these weights",
    )


def _check_format_embedding(checkpoint_args: argparse.Namespace, args: argparse.Namespace) -> None:
    # Megatron would end with a KeyError in the one case, and leave the vectors out without a word in the other.
    had = bool(getattr(checkpoint_args, "proxy_format_embedding", False))
    if had != bool(args.proxy_format_embedding):
        raise ConfigurationError(
            f"the checkpoint was trained {'with' if had else 'without'} --proxy-format-embedding",
            where="--load",
            fix="give --proxy-format-embedding" if had else "leave out --proxy-format-embedding",
        )


def _check_length(checkpoint_args: argparse.Namespace, args: argparse.Namespace) -> None:
    # All counts are of samples: the place in the corpus, in the schedule, and in that of the learning rate.
    was = getattr(checkpoint_args, "seq_length", args.seq_length)
    if was != args.seq_length:
        raise ConfigurationError(
            f"the checkpoint has read samples of {was:,} ids, and this run's have {args.seq_length:,}",
            where="--seq-length",
            fix=f"give --seq-length {was}, or --finetune to begin a new run from these weights",
        )
