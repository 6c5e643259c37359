"""What results say together: means and spread, gaps, trends, and what foretells them."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement, pairwise
from typing import Final

import results
from grid import BYTES, COMMON, own_vocabulary
from results import Result

INTERVAL: Final = 0.95
FEWEST: Final = 5
"""Pairs from which a rank correlation is told."""
_FEWEST_VALUES: Final = 3
"""With two values, of which one is a single compressor's, a correlation says no more than that it is the first."""


@dataclass(frozen=True)
class Spread:
    """A mean, the sample standard deviation around it (None of one value), and how many values there are."""

    mean: float
    deviation: float | None
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread | None:
        """Of some values; None if there are none."""
        if not values:
            return None
        return cls(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None, len(values))

    def __str__(self) -> str:
        """Mean ± deviation (values)."""
        around = "" if self.deviation is None else f" ± {self.deviation:.3f}"
        return f"{self.mean:z.3f}{around} ({self.count})"


def gaps(here: Sequence[Result], arm: str, other: str) -> list[float]:
    """How many bits per raw byte more an arm needs than another, seed by seed, with one vocabulary.

    ``here`` are results of one size and budget. Both runs of a seed read the documents in one order, so that their
    difference spreads less than either.
    """
    return list(_differences(_by_seed(here, arm, COMMON), _by_seed(here, other, COMMON)).values())


def own_gaps(here: Sequence[Result], arm: str) -> list[float]:
    """The same to bytes, each arm with a vocabulary of its own, at the same compute."""
    return list(_differences(*(_by_seed(here, name, own_vocabulary(name)) for name in (arm, BYTES))).values())


def _differences(ones: Mapping[int, float], others: Mapping[int, float]) -> dict[int, float]:
    return {seed: ones[seed] - others[seed] for seed in sorted(ones.keys() & others.keys())}


def _by_seed(here: Sequence[Result], arm: str, vocabulary: str) -> dict[int, float]:
    of_arm = results.of(here, arm=arm, vocabulary=vocabulary)
    return {one.cell.seed: one.raw for one in of_arm if one.raw is not None}


class BytesAlone:
    """What bytes alone make of a number of raw bytes: a line through the means of their runs of one size.

    ``here`` are results of one size, of any budget.
    """

    def __init__(self, here: Sequence[Result]) -> None:
        runs = results.of(here, arm=BYTES, vocabulary=COMMON)
        by_budget = [results.of(runs, budget=budget) for budget in sorted({one.cell.budget for one in runs})]
        self._points = [
            (statistics.fmean(map(_raw_bytes, of)), statistics.fmean(one.raw for one in of if one.raw is not None))
            for of in by_budget
        ]

    def bits(self, raw_bytes: float) -> float | None:
        """Bits per byte, straight between neighbours over the logarithm of raw bytes; None beyond the runs."""
        for (below, bits_below), (above, bits_above) in pairwise(self._points):
            if below <= raw_bytes <= above and below < above:
                share = math.log(raw_bytes / below) / math.log(above / below)
                return bits_below + share * (bits_above - bits_below)
        return None

    def gain(self, result: Result) -> float | None:
        """How many bits per byte an arm is ahead of bytes alone that read as many raw bytes; None if not known."""
        alone = self.bits(_raw_bytes(result))
        return None if alone is None or result.raw is None else alone - result.raw


def _raw_bytes(result: Result) -> float:
    return float(result.figures["source_bytes"]["raw"])


def added(result: Result) -> float | None:
    """Bits per byte that perturbed prompts add to what a clean one leaves, mean over the perturbations."""
    perturbed = [bpb for name, bpb in result.robustness.items() if name != "clean"]
    return statistics.fmean(perturbed) - result.robustness["clean"] if perturbed else None


def ranks(values: Sequence[float]) -> list[float]:
    """The place of each value from 1 on; equal ones share the mean of theirs."""
    ordered = sorted(values)
    first = {value: ordered.index(value) for value in ordered}
    return [first[value] + (ordered.count(value) + 1) / 2 for value in values]


def correlation(xs: Sequence[float], ys: Sequence[float]) -> float | None:
    """Pearson's; None if either does not vary."""
    x, y = statistics.fmean(xs), statistics.fmean(ys)
    across = math.sqrt(sum((one - x) ** 2 for one in xs) * sum((one - y) ** 2 for one in ys))
    return sum((a - x) * (b - y) for a, b in zip(xs, ys, strict=True)) / across if across else None


def rank_correlation(xs: Sequence[float], ys: Sequence[float]) -> float | None:
    """Spearman's: that of the ranks."""
    return correlation(ranks(xs), ranks(ys)) if len(xs) > 1 else None


def rank_interval(xs: Sequence[float], ys: Sequence[float]) -> tuple[float, float] | None:
    """The middle 95 % of the rank correlation over all resamples of the pairs: the whole bootstrap, not a draw of it.

    Of few pairs all resamples can be counted: each choice of *n* pairs with repetition, as often as it can be drawn.
    Those in which nothing varies have no correlation and are left out. None of fewer than :data:`FEWEST` pairs: all
    resamples of three or four in one order are in that order too, as if there were no doubt. None of two values either.
    """
    if len(xs) < FEWEST or min(len(set(xs)), len(set(ys))) < _FEWEST_VALUES:
        return None
    weights: Counter[float] = Counter()
    for chosen in combinations_with_replacement(range(len(xs)), len(xs)):
        found = rank_correlation([xs[i] for i in chosen], [ys[i] for i in chosen])
        if found is not None:
            repeats = math.prod(math.factorial(count) for count in Counter(chosen).values())
            weights[round(found, 12)] += math.factorial(len(xs)) // repeats
    if not weights:
        return None
    return _quantile(weights, (1 - INTERVAL) / 2), _quantile(weights, (1 + INTERVAL) / 2)


def _quantile(weights: Mapping[float, int], share: float) -> float:
    """The least value that at least this share of the weight does not exceed."""
    wanted, seen = share * sum(weights.values()), 0
    for value in sorted(weights):
        seen += weights[value]
        if seen >= wanted:
            break
    return value


@dataclass(frozen=True)
class Trend:
    """A straight line through points: its slope, and the slope's standard error (None of fewer than three points)."""

    slope: float
    error: float | None

    @classmethod
    def of(cls, points: Sequence[tuple[float, float]]) -> Trend | None:
        """By least squares; None if there are no two different places."""
        xs, ys = [x for x, _ in points], [y for _, y in points]
        if len(set(xs)) < 2:
            return None
        fitted = statistics.linear_regression(xs, ys)
        if len(points) < 3:
            return cls(fitted.slope, None)
        left = sum((y - fitted.intercept - fitted.slope * x) ** 2 for x, y in points)
        middle = statistics.fmean(xs)
        return cls(fitted.slope, math.sqrt(left / (len(points) - 2) / sum((x - middle) ** 2 for x in xs)))

    def __str__(self) -> str:
        """Slope ± error."""
        return f"{self.slope:+z.3f}" + ("" if self.error is None else f" ± {self.error:.3f}")


def transfer(here: Sequence[Result], alone: BytesAlone, arm_of: Mapping[str, str]) -> dict[str, float]:
    """By compressor, the mean gain of its arm over its seeds."""
    gains = {
        name: [gain for one in results.of(here, arm=arm, vocabulary=COMMON) if (gain := alone.gain(one)) is not None]
        for name, arm in arm_of.items()
    }
    return {name: statistics.fmean(found) for name, found in gains.items() if found}
