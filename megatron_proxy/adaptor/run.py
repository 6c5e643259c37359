"""The run in progress: settings, vocabulary and datasets, from the moment when Megatron's arguments are validated."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigurationError, UnsupportedError
from . import arguments, resume, support
from .arguments import Settings
from .data import prepared
from .data.prepared import Prepared
from .tokenizer import ProxyTokenizer


@dataclass(eq=False)
class Run:
    """What the hooks of one process share.

    Parameters
    ----------
    args
        Megatron's arguments; their identity tells one run in a process from the next.
    settings
        What the flags ask for.
    prepared
        The prefixes of all splits, each once, in order of appearance.
    tokenizer
        The tokenizer that Megatron was given.
    source_bytes
        float64, shape (ids,): source bytes that each id stands for.
    training
        The training dataset that this process built (ours, or a blend of ours); None on ranks that read no data.
    report
        The measures for the log, once there are any.
    datasets_swapped, checked
        Whether Megatron came past the dataset's hook, and whether all of this was checked at the first step.
    """

    args: argparse.Namespace
    settings: Settings
    prepared: list[Prepared]
    tokenizer: ProxyTokenizer
    source_bytes: NDArray[np.float64]
    training: Any = None
    report: Any = None
    datasets_swapped: bool = False
    checked: bool = False

    def prefix(self, path: str) -> Prepared:
        """The prepared dataset of one prefix."""
        return next(one for one in self.prepared if one.prefix == path)


_current: Run | None = None


def active() -> Run | None:
    """The run in progress; None where Megatron runs without ``--proxy-compression``."""
    from megatron.training import global_vars

    args = global_vars._GLOBAL_ARGS
    if args is None or getattr(args, "proxy_compression", None) is None:
        return None
    return of(args)


def current() -> Run:
    """The run in progress, where there must be one."""
    found = active()
    if found is None:
        raise UnsupportedError("this needs a run with --proxy-compression", where="--proxy-compression")
    return found


def of(args: argparse.Namespace) -> Run:
    """The run of these arguments, checked on first sight: Megatron builds its tokenizer more than once.

    Raises
    ------
    ProxyError
        For everything that can be known to be wrong before the model is built.
    """
    global _current
    if _current is None or _current.args is not args:
        _current = _start(args)
    return _current


def _start(args: argparse.Namespace) -> Run:
    settings = arguments.settings(args)
    support.check_arguments(args)
    settings.validation_schedule()
    if settings.format_embedding:
        support.check_format_embedding(args, settings.sentinels)
    opened = prepared.open_all(prefixes(args), settings.compressor)
    prepared.check_modes(opened, settings.compressor, settings.schedule.modes)
    fingerprints = [one.compressed.fingerprint for one in opened]
    tokenizer = ProxyTokenizer(settings.compressor, prepared.vocabulary(opened), fingerprints)
    resume.remember(args, settings, tokenizer.fingerprints)
    started = Run(args, settings, opened, tokenizer, prepared.source_bytes(opened, settings.compressor))
    for line in _remarks(started):
        tell(args, line)
    return started


def prefixes(args: argparse.Namespace) -> list[str]:
    """The prefixes of all splits, in order of appearance.

    Raises
    ------
    ConfigurationError
        No prefix at all, one that is named twice in one blend, or one whose weight is not above 0.
    """
    from megatron.training.utils import get_blend_and_blend_per_split

    blend, per_split = get_blend_and_blend_per_split(args)
    blends = [one for one in (blend, *(per_split or ())) if one is not None]
    for names, weights in blends:
        _check_blend(names, weights)
    found = [name for names, _ in blends for name in names]
    if not found:
        raise ConfigurationError(
            "no data is given", where="--data-path", fix="give the prefix of a prepared dataset: --data-path PREFIX"
        )
    return found


def _check_blend(names: Sequence[str], weights: Sequence[float] | None) -> None:
    if twice := sorted({name for name in names if list(names).count(name) > 1}):
        raise ConfigurationError(
            f"{twice[0]!r} is named twice in one blend", where="--data-path", fix="name it once, with both weights"
        )
    for name, weight in zip(names, weights or [1.0] * len(names), strict=True):
        # Megatron would fail without a word on the first rank, while the others wait for it.
        if not 0.0 < weight < math.inf:
            raise ConfigurationError(
                f"{name!r} has the weight {weight:g} in its blend",
                where="--data-path",
                fix="give it a weight above 0, or leave it out",
            )


def tell(args: argparse.Namespace, line: str) -> None:
    """Print one line, once per job."""
    if args.rank == 0:
        print(f"megatron_proxy: {line}", flush=True)


def _remarks(run: Run) -> list[str]:
    schedule, size = run.settings.schedule, run.tokenizer.vocab_size
    lines = [
        f"{run.settings.compressor} views of {', '.join(one.prefix for one in run.prepared)}; {size:,} ids",
        f"rate {schedule.initial_rate:g} → {schedule.peak_rate:g} → {schedule.final_rate:g}, modes "
        f"{' → '.join(mode.value for mode in schedule.modes)}, over {run.settings.horizon_samples:,} samples",
    ]
    if len(run.tokenizer.fingerprints) > 1:
        lines.append(
            "the prefixes were prepared with different compressor files, so that one symbol stands for other bytes in "
            "another prefix: prepare them with the same files if their symbols should mean the same"
        )
    if ignored := support.ignored_flags():
        lines.append(f"without effect here: {', '.join(ignored)} (ids are those of the prepared views)")
    return lines
