"""The mixing schedule: progress → (rate, mode), a pure function.

``rate`` is the share of compressed segments, ``mode`` how views are placed. A run has three phases, after the paper
(arXiv 2602.04289): a warm-up from the initial to the peak rate, a steady phase at the peak, a decay from the peak to
the final rate; what lies behind the decay stays at the final rate and mode. With the defaults:

>>> schedule = Schedule()
>>> schedule.at(0.0)
Mix(rate=0.4, mode=<Mode.TRANSLATION_RANDOM: 'translation_random'>)
>>> schedule.at(0.1).rate
0.65
>>> schedule.at(0.2)
Mix(rate=0.9, mode=<Mode.SENTINEL: 'sentinel'>)

Draws are planned from :meth:`Schedule.steps`, which is piecewise constant, so that all draws of a step are computed
at once. A ramp of length one has at most 500 steps, each at the rate of its middle.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple, Self

from ...errors import ConfigurationError

RAMP_STEPS: Final = 500


class Mode(StrEnum):
    """How views are placed."""

    VANILLA = "vanilla"
    SENTINEL = "sentinel"
    TRANSLATION_RAW_COMPRESSED = "translation_raw_compressed"
    TRANSLATION_COMPRESSED_RAW = "translation_compressed_raw"
    TRANSLATION_RANDOM = "translation_random"
    PARALLEL_RAW_COMPRESSED = "parallel_raw_compressed"
    PARALLEL_COMPRESSED_RAW = "parallel_compressed_raw"
    PARALLEL_RANDOM = "parallel_random"
    INTERLEAVED = "interleaved"

    @property
    def in_spans(self) -> bool:
        """Whether a draw takes each span of its document from one view or the other, not whole views."""
        return self is Mode.INTERLEAVED


class Mix(NamedTuple):
    """What is in force at one moment of the run."""

    rate: float
    mode: Mode


class Step(NamedTuple):
    """A stretch ``[begin, end)`` of progress with one mix; the last step has no end (infinity)."""

    begin: float
    end: float
    rate: float
    mode: Mode


@dataclass(frozen=True)
class Schedule:
    """Rates and modes over progress in [0, 1].

    Parameters
    ----------
    initial_rate, peak_rate, final_rate
        Shares of compressed segments, in [0, 1].
    warmup, decay
        Lengths of the ramps as shares of the horizon.
    steady
        Length of the steady phase; by default all that warm-up and decay leave.
    warmup_mode, steady_mode, final_mode
        The mode of each phase; the final mode serves the decay and what follows it.

    Raises
    ------
    ConfigurationError
        A rate outside [0, 1], a negative length, or phases that overrun the horizon.
    """

    initial_rate: float = 0.4
    peak_rate: float = 0.9
    final_rate: float = 0.9
    warmup: float = 0.2
    steady: float | None = None
    decay: float = 0.0
    warmup_mode: Mode = Mode.TRANSLATION_RANDOM
    steady_mode: Mode = Mode.SENTINEL
    final_mode: Mode = Mode.SENTINEL

    def __post_init__(self) -> None:
        for flag, rate in (("initial", self.initial_rate), ("peak", self.peak_rate), ("final", self.final_rate)):
            if not 0.0 <= rate <= 1.0:
                raise ConfigurationError(
                    f"a rate is a share of segments in [0, 1], not {rate}", where=f"--proxy-{flag}-rate"
                )
        for flag, length in (("warmup", self.warmup), ("steady", self.steady or 0.0), ("decay", self.decay)):
            if not (length >= 0.0 and math.isfinite(length)):
                raise ConfigurationError(f"the length of a phase cannot be {length}", where=f"--proxy-{flag}-fraction")
        total = self.warmup + (self.steady or 0.0) + self.decay
        # The phases may come from sample counts, so a rounding error must not be called an overrun.
        if total > 1.0 + 1e-9:
            raise ConfigurationError(
                f"the phases take {total:.4g} of the horizon: warm-up {self.warmup:.4g}, steady "
                f"{self.steady or 0.0:.4g}, decay {self.decay:.4g}",
                where="--proxy-warmup-fraction, --proxy-steady-fraction, --proxy-decay-fraction",
                fix="shorten a phase, or lengthen the run with --proxy-horizon-samples",
            )

    @classmethod
    def constant(cls, rate: float, mode: Mode) -> Self:
        """One mix for the whole run."""
        return cls(rate, rate, rate, warmup=0.0, steady=1.0, warmup_mode=mode, steady_mode=mode, final_mode=mode)

    @property
    def decay_begin(self) -> float:
        """Progress at which the decay begins."""
        steady = max(0.0, 1.0 - self.warmup - self.decay) if self.steady is None else self.steady
        return self.warmup + steady

    @property
    def modes(self) -> tuple[Mode, ...]:
        """The modes that occur, in order of appearance, each once."""
        return tuple(dict.fromkeys(step.mode for step in self.steps()))

    @property
    def in_spans(self) -> bool:
        """Whether one of them takes spans."""
        return any(mode.in_spans for mode in self.modes)

    def at(self, progress: float) -> Mix:
        """The exact mix at ``progress`` (0 is the start, 1 the horizon; more is allowed)."""
        if progress < self.warmup:
            share = progress / self.warmup
            return Mix(_between(self.initial_rate, self.peak_rate, share), self.warmup_mode)
        if progress < self.decay_begin:
            return Mix(self.peak_rate, self.steady_mode)
        if progress < self.decay_begin + self.decay:
            share = (progress - self.decay_begin) / self.decay
            return Mix(_between(self.peak_rate, self.final_rate, share), self.final_mode)
        return Mix(self.final_rate, self.final_mode)

    def steps(self) -> list[Step]:
        """The schedule as at most 1,002 constant steps that cover [0, infinity) without a gap."""
        steps = self._ramp(0.0, self.warmup)
        if self.decay_begin > self.warmup:
            steps.append(Step(self.warmup, self.decay_begin, self.peak_rate, self.steady_mode))
        steps += self._ramp(self.decay_begin, self.decay)
        end = self.decay_begin + self.decay
        return [*steps, Step(end, math.inf, self.final_rate, self.final_mode)]

    def _ramp(self, begin: float, length: float) -> list[Step]:
        if length <= 0.0:
            return []
        # The last edge is where the next phase begins, to the last bit.
        edges = [*(begin + length * i / RAMP_STEPS for i in range(RAMP_STEPS)), begin + length]
        return [
            Step(left, right, *self.at(begin + length * (i + 0.5) / RAMP_STEPS))
            for i, (left, right) in enumerate(itertools.pairwise(edges))
        ]


def _between(left: float, right: float, share: float) -> float:
    return left + (right - left) * share
