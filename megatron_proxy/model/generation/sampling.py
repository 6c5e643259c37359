"""From logits to the next id: greedy, or drawn after temperature, top-k and top-p, in this order."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...common import rng
from ...errors import CheckpointError, ConfigurationError, check_count


class Choice(NamedTuple):
    """An id that was chosen, and whether it is firm: logits that differ by the slack would lead to it too."""

    id: int
    firm: bool


@dataclass(frozen=True)
class Sampling:
    """How ids are chosen.

    Parameters
    ----------
    temperature
        Logits are divided by this; 0 takes the likeliest id.
    top_k
        Only the k likeliest ids are kept; None keeps all.
    top_p
        Of those, only the fewest likeliest ids that together reach this probability; None keeps all.
    seed
        The same seed gives the same bytes, whatever else is in the batch.

    Raises
    ------
    ConfigurationError
        A value out of range.
    """

    temperature: float = 0.0
    top_k: int | None = None
    top_p: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0.0 <= self.temperature < float("inf"):
            raise ConfigurationError(f"must be 0 or more, not {self.temperature}", where="--temperature")
        check_count(self.top_k, "--top-k")
        if self.top_p is not None and not 0.0 < self.top_p <= 1.0:
            raise ConfigurationError(f"must lie in (0, 1], not {self.top_p}", where="--top-p")

    def choose(self, logits: NDArray[np.float64], row: int, step: int, slack: float = 0.0) -> Choice:
        """The next id.

        Parameters
        ----------
        logits
            Shape (ids,); minus infinity forbids an id, and one at least is allowed.
        row, step
            The number of the sample, and how many ids it has drawn: they key the random number.
        slack
            By how much the difference of two logits may be off.

        Raises
        ------
        CheckpointError
            If the logits are no numbers.
        """
        likeliest = logits.max()
        if not np.isfinite(likeliest):
            raise CheckpointError(
                "the model's logits are no numbers",
                fix="take an --iteration before training diverged, or another --dtype",
            )
        if self.temperature == 0.0:
            first = int(logits.argmax())
            second = max(logits[:first].max(initial=-np.inf), logits[first + 1 :].max(initial=-np.inf))
            return Choice(first, bool(likeliest - second > slack))
        order = np.argsort(-logits, kind="stable")
        # Differences are divided, not logits: near 0 a temperature leaves the likeliest at 0 and sends others to -inf.
        with np.errstate(over="ignore"):
            ranked = (logits[order] - likeliest) / self.temperature
            slack = float(np.float64(slack) / self.temperature)
        point = float(rng.uniform(rng.key(self.seed, rng.Purpose.SAMPLING, row), [step])[0])
        place, firm = self._drawn(ranked, point, slack)
        return Choice(int(order[place]), firm)

    def _drawn(self, ranked: NDArray[np.float64], point: float, slack: float) -> tuple[int, bool]:
        """The place that is drawn of logits in falling order, and whether it is firm."""
        weights = np.exp(ranked)
        if self.top_k is not None:
            weights[self.top_k :] = 0.0
        unsure, may_go, may_come = np.zeros(len(weights), dtype=np.bool_), 0.0, 0.0
        if self.top_p is not None:
            before, total = np.cumsum(weights) - weights, weights.sum()
            # Shares of the weight move by half of the slack at most.
            unsure = np.abs(before / total - self.top_p) <= slack
            kept = before < self.top_p * total
            # All behind the id that is drawn, which would itself be cut if one before it were.
            may_go, may_come = float(weights[unsure & kept].sum()), float(weights[unsure & ~kept].sum())
            weights[~kept] = 0.0
        rising = np.cumsum(weights)
        # The first id whose cumulated weight lies above the point: never one of weight zero.
        place = int(np.searchsorted(rising, point * rising[-1], side="right"))
        if unsure[place]:
            return place, False
        likelier, own, others = rising[place] - weights[place], weights[place], rising[-1] - rising[place]
        others = max(0.0, float(others - may_go)), float(others + may_come)
        return place, _apart(ranked, place, slack) and _inside(point, float(likelier), float(own), others, slack)


def _apart(ranked: NDArray[np.float64], place: int, slack: float) -> bool:
    """Whether it is certain which ids are likelier than the one at ``place``, and which are less likely."""
    near = ranked[max(0, place - 1) : place + 2]
    return bool((near[:-1] - near[1:] > slack).all())


def _inside(point: float, likelier: float, own: float, others: tuple[float, float], slack: float) -> bool:
    """Whether the point falls to an id whatever weights do: those of the likelier and the others, against its own.

    ``others`` are the least and the most that those behind it can weigh before they move.
    """
    if slack > 1.0:
        return False
    for factor, behind in zip((math.exp(slack), math.exp(-slack)), others, strict=True):
        begin, rest = likelier * factor, behind / factor
        if not begin <= point * (begin + own + rest) < begin + own:
            return False
    return True
