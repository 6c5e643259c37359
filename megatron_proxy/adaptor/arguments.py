"""The flags of proxy compression, and what they mean: :class:`Settings`.

:func:`add_arguments` is pure, since Megatron parses more than once, and leaves primitives only in ``args``, since
``args`` is stored in checkpoints and loaded under an allow-list.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from ..common import usage
from ..data.sampling.plan import MIN_SEQ_LENGTH
from ..data.sampling.schedule import Mix, Mode, Schedule
from ..errors import ConfigurationError, check_count

MODES: Final = [mode.value for mode in Mode]
_PREFIX: Final = "--proxy-"


@dataclass(frozen=True)
class Settings:
    """What the flags ask for.

    Parameters
    ----------
    compressor
        Name of the compressor.
    schedule
        Rates and modes over the horizon.
    horizon_samples
        Samples of the whole blend that the schedule spans.
    shuffle_block
        Samples per shuffled block, or None for the default.
    validation_view
        ``raw``, ``compressed`` or ``both``.
    format_embedding
        Whether a learned vector per format is added to the word embeddings.
    """

    compressor: str
    schedule: Schedule
    horizon_samples: int
    shuffle_block: int | None = None
    validation_view: str = "raw"
    format_embedding: bool = False

    def mix(self, samples: int) -> Mix:
        """The rate and mode in force after so many samples of the whole blend."""
        return self.schedule.at(samples / self.horizon_samples)

    @property
    def sentinels(self) -> bool:
        """Whether views stand in sentinels in all of the run; the mode ``vanilla`` has none."""
        return Mode.VANILLA not in self.schedule.modes

    def validation_schedule(self) -> Schedule:
        """The constant mix of validation and test.

        Raises
        ------
        ConfigurationError
            Both views are asked for in a run without sentinels, which could not tell them apart.
        """
        vanilla = set(self.schedule.modes) == {Mode.VANILLA}
        if self.validation_view == "both":
            if vanilla:
                raise ConfigurationError(
                    "in the mode vanilla nothing tells the views apart",
                    where="--proxy-validation-view",
                    fix="choose raw or compressed",
                )
            # At rate 1/2 every document makes a pair, and a parallel pair is two separate documents.
            return Schedule.constant(0.5, Mode.PARALLEL_RAW_COMPRESSED)
        rate = 1.0 if self.validation_view == "compressed" else 0.0
        return Schedule.constant(rate, Mode.VANILLA if vanilla else Mode.SENTINEL)


def add_arguments(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add the group ``proxy compression`` to Megatron's parser."""
    group = parser.add_argument_group(title="proxy compression")
    group.add_argument(
        "--proxy-compression",
        metavar="NAME",
        help="train on raw bytes and on the compressed view that this compressor made (megatron-proxy prepare)",
    )
    _add_schedule_arguments(group)
    group.add_argument(
        "--proxy-shuffle-block",
        type=int,
        metavar="SAMPLES",
        help="windows are shuffled inside blocks of this many samples (default: 1/256 of the horizon, at most 4096)",
    )
    group.add_argument(
        "--proxy-validation-view",
        choices=["raw", "compressed", "both"],
        default="raw",
        help="what validation and test measure (default: raw; both: every document in both views)",
    )
    group.add_argument(
        "--proxy-format-embedding",
        action="store_true",
        help="add a learned vector per format to the word embeddings, zero at the start",
    )
    group.add_argument(
        "--proxy-metrics",
        metavar="FILE",
        help="append the figures of the log to this file, unrounded, as JSON lines (default: proxy-metrics.jsonl in "
        "the folder of --save)",
    )
    return parser


def with_arguments(add_megatron_arguments: Callable[..., Any]) -> Callable[..., Any]:
    """Megatron's function that adds its arguments, followed by :func:`add_arguments`."""

    def wrapped(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
        return _tell_errors_shortly(add_arguments(add_megatron_arguments(parser)))

    return wrapped


def _tell_errors_shortly(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Errors about flags of ours come without Megatron's hundreds of lines of usage, and tell what was meant."""
    megatrons = parser.error

    def error(message: str) -> NoReturn:
        if _PREFIX in usage.explained(parser, sys.argv[1:], message):
            usage.refuse(parser, sys.argv[1:], message)
        megatrons(message)

    parser.error = error  # type: ignore[method-assign]
    return parser


def _add_schedule_arguments(group: Any) -> None:
    for phase, default, shown in (
        ("initial", 0.4, "0.4"),
        ("peak", None, "0.9; 0.5 with --proxy-mode interleaved"),
        ("final", None, "the peak rate"),
    ):
        group.add_argument(
            f"--proxy-{phase}-rate",
            type=float,
            default=default,
            metavar="RATE",
            help=f"share of compressed segments in [0, 1] (default: {shown})",
        )
    for phase, usual in (("warmup", "0.2"), ("steady", "what warm-up and decay leave"), ("decay", "0")):
        group.add_argument(
            f"--proxy-{phase}-fraction",
            type=float,
            metavar="SHARE",
            help=f"length of the {phase} phase as a share of the horizon (default: {usual})",
        )
        group.add_argument(
            f"--proxy-{phase}-samples",
            type=int,
            metavar="N",
            help=f"length of the {phase} phase in samples, instead of --proxy-{phase}-fraction",
        )
    group.add_argument(
        "--proxy-warmup-mode",
        choices=MODES,
        help="how views are placed during the warm-up (default: translation_random; that of --proxy-mode where this is "
        "vanilla or interleaved)",
    )
    group.add_argument(
        "--proxy-mode", choices=MODES, default=Mode.SENTINEL.value, help="how views are placed after the warm-up"
    )
    group.add_argument(
        "--proxy-final-mode", choices=MODES, help="how views are placed in and after the decay (default: --proxy-mode)"
    )
    group.add_argument(
        "--proxy-horizon-samples",
        type=int,
        metavar="N",
        help="samples that the schedule spans (default: those of this run); give it to extend a run later",
    )


_PEAK_RATE: Final = 0.9
_PEAK_RATES: Final = {Mode.INTERLEAVED: 0.5}
"""What docs/evidence.md found for modes of which the paper says nothing."""
_THEIR_OWN_WARMUP: Final = (Mode.VANILLA, Mode.INTERLEAVED)


def settings(args: argparse.Namespace) -> Settings:
    """Read the flags off Megatron's validated arguments.

    Raises
    ------
    ConfigurationError
        A value out of range, two flags that exclude each other, or phases that overrun the horizon.
    """
    if args.seq_length < MIN_SEQ_LENGTH:
        raise ConfigurationError(
            f"windows of {args.seq_length} ids have no room for sentinels and content",
            where="--seq-length",
            fix=f"use at least {MIN_SEQ_LENGTH}",
        )
    check_count(args.proxy_horizon_samples, "--proxy-horizon-samples")
    check_count(args.proxy_shuffle_block, "--proxy-shuffle-block")
    horizon = args.proxy_horizon_samples or train_samples(args)
    return Settings(
        compressor=args.proxy_compression,
        schedule=_schedule(args, horizon),
        horizon_samples=horizon,
        shuffle_block=args.proxy_shuffle_block,
        validation_view=args.proxy_validation_view,
        format_embedding=args.proxy_format_embedding,
    )


def train_samples(args: argparse.Namespace) -> int:
    """Training samples of the whole run, as Megatron counts them (at least 1, for runs that only evaluate)."""
    samples = args.train_samples or (args.train_iters or 0) * args.global_batch_size
    return max(1, int(samples))


def _schedule(args: argparse.Namespace, horizon: int) -> Schedule:
    steady = Mode(args.proxy_mode)
    warmup = args.proxy_warmup_mode or (steady if steady in _THEIR_OWN_WARMUP else Mode.TRANSLATION_RANDOM)
    peak_rate = _PEAK_RATES.get(steady, _PEAK_RATE) if args.proxy_peak_rate is None else args.proxy_peak_rate
    length = {phase: _phase_length(args, phase, horizon) for phase in ("warmup", "steady", "decay")}
    return Schedule(
        initial_rate=args.proxy_initial_rate,
        peak_rate=peak_rate,
        final_rate=peak_rate if args.proxy_final_rate is None else args.proxy_final_rate,
        warmup=0.2 if length["warmup"] is None else length["warmup"],
        steady=length["steady"],
        decay=length["decay"] or 0.0,
        warmup_mode=Mode(warmup),
        steady_mode=steady,
        final_mode=Mode(args.proxy_final_mode or steady),
    )


def _phase_length(args: argparse.Namespace, phase: str, horizon: int) -> float | None:
    """Length of a phase as a share of the horizon; None where no flag gives it."""
    fraction: float | None = getattr(args, f"proxy_{phase}_fraction")
    samples: int | None = getattr(args, f"proxy_{phase}_samples")
    if fraction is not None and samples is not None:
        raise ConfigurationError(
            "the length of a phase is given twice",
            where=f"--proxy-{phase}-fraction, --proxy-{phase}-samples",
            fix="give one of the two",
        )
    if samples is None:
        return fraction
    if samples < 0:
        raise ConfigurationError(f"a number of samples, not {samples}", where=f"--proxy-{phase}-samples")
    return samples / horizon
