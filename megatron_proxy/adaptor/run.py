"""The run in progress: settings, vocabulary and datasets, from the moment when Megatron's arguments are validated."""

from __future__ import annotations

import argparse
import math
import platform
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial, wraps
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import __version__
from ..errors import UnsupportedError
from . import arguments, resume
from .arguments import Settings
from .checks import support
from .data import blends, prepared
from .data.prepared import Prepared, PreparedViews
from .patience import Patience
from .tokenizer import ProxyTokenizer

if TYPE_CHECKING:
    from megatron.core.datasets.blended_dataset import BlendedDataset

    from .data.dataset import ProxyGPTDataset
    from .measures.reporting import Report


@dataclass(eq=False)
class Run:
    """What the hooks of one process share.

    Parameters
    ----------
    args
        Megatron's arguments; their identity tells one run in a process from the next.
    prepared
        The prefixes of all splits, each once, in order of appearance.
    source_bytes
        float64, shape (ids,): source bytes that each id stands for.
    training
        The training dataset that this process built (ours, or a blend of ours); None on ranks that read no data.
    introduced, datasets_swapped, checked
        Whether the log has been told of the run, whether Megatron came past the dataset's hook, and whether all of this
        was checked at the first step.
    """

    args: argparse.Namespace
    settings: Settings
    prepared: list[Prepared]
    tokenizer: ProxyTokenizer
    source_bytes: NDArray[np.float64]
    training: ProxyGPTDataset | BlendedDataset | None = None
    report: Report | None = None
    introduced: bool = False
    datasets_swapped: bool = False
    checked: bool = False
    _views: dict[str, PreparedViews] = field(default_factory=dict)

    @cached_property
    def patience(self) -> Patience:
        """How long the other ranks wait for plans; endless where there are none."""
        minutes = self.args.distributed_timeout_minutes if self.args.world_size > 1 else math.inf
        return Patience(60.0 * minutes, partial(_warn_of_waiting, self.args))

    @cached_property
    def by_prefix(self) -> dict[str, Prepared]:
        """The prepared datasets by the prefixes that name them."""
        return {one.prefix: one for one in self.prepared}

    def views(self, path: str) -> PreparedViews:
        """The views of one prefix, opened once for all splits of this process."""
        if path not in self._views:
            spans = self.settings.schedule.in_spans or self.settings.validation_schedule().in_spans
            mapped = bool(getattr(self.args, "mmap_bin_files", True))
            self._views[path] = PreparedViews(self.by_prefix[path], with_spans=spans, mapped=mapped)
        return self._views[path]


_current: Run | None = None


def active() -> Run | None:
    """The run in progress; None where Megatron runs without ``--proxy-compression``."""
    from megatron.training import global_vars

    args = global_vars._GLOBAL_ARGS
    if args is None or getattr(args, "proxy_compression", None) is None:
        return None
    return of(args)


def hook(ours: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Let a function take the place of one of Megatron's during a run; without one Megatron's is called as it was.

    Parameters
    ----------
    ours
        Called with Megatron's function, the run, and the arguments that Megatron gives.
    """

    @wraps(ours)
    def in_place_of(stock: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            current = active()
            return stock(*args, **kwargs) if current is None else ours(stock, current, *args, **kwargs)

        return wrapped

    return in_place_of


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
    prefixes = blends.prefixes(args)
    # The first rank reads data in every run: it looks for all.
    opened = prepared.open_all(prefixes, settings.compressor, check_views=args.rank == 0)
    prepared.check_modes(opened, settings.schedule.modes)
    fingerprints = [one.compressed.fingerprint for one in opened]
    # That all have the vocabulary of the first was checked when they were opened.
    tokenizer = ProxyTokenizer(settings.compressor, opened[0].compressed.vocabulary, fingerprints)
    resume.remember(args, settings, tokenizer.fingerprints)
    resume.look_ahead(args)
    return Run(args, settings, opened, tokenizer, prepared.source_bytes(opened))


def introduce(current: Run) -> None:
    """Tell, once, what the run consists of."""
    if not current.introduced:
        current.introduced = True
        for line in _remarks(current):
            tell(current.args, line)


def tell(args: argparse.Namespace, line: str) -> None:
    """Print one line, once per job."""
    if args.rank == 0:
        print(f"megatron_proxy: {line}", flush=True)


def versions() -> list[str]:
    """What this run is trained with, for those who read its log later."""
    import torch

    from . import hooks

    return [
        f"megatron_proxy {__version__}",
        f"Megatron-Core {hooks.megatron_version()}",
        f"torch {torch.__version__}",
        f"Python {platform.python_version()}",
    ]


def _warn_of_waiting(args: argparse.Namespace, seconds: float) -> None:
    command = shlex.join(["megatron-proxy", "plan", "--world-size", str(args.world_size), *sys.argv])
    tell(
        args,
        f"warning: planning takes some {seconds / 60.0:.0f} minutes in all, and the other ranks wait for "
        f"{args.distributed_timeout_minutes} (--distributed-timeout-minutes) and no longer. Make the plans beforehand, "
        f"without a GPU, or let them wait longer: {command}",
    )


def _remarks(run: Run) -> list[str]:
    schedule, size = run.settings.schedule, run.tokenizer.vocab_size
    lines = [
        f"versions: {', '.join(versions())}",
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
