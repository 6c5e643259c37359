"""From logits to the next id: greedy, or drawn after temperature, top-k and top-p, in this order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...common import rng
from ...errors import CheckpointError, ConfigurationError, check_count


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

    def choose(self, logits: NDArray[np.float64], row: int, step: int) -> int:
        """The next id.

        Parameters
        ----------
        logits
            Shape (ids,); minus infinity forbids an id, and one at least is allowed.
        row, step
            The number of the sample, and how many ids it has drawn: they key the random number.

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
            return int(logits.argmax())
        order = np.argsort(-logits, kind="stable")
        # Differences are divided, not logits: near 0 a temperature leaves the likeliest at 0 and sends others to -inf.
        with np.errstate(over="ignore"):
            ranked = (logits[order] - likeliest) / self.temperature
        if self.top_k is not None:
            ranked[self.top_k :] = -np.inf
        weights = np.exp(ranked)
        if self.top_p is not None:
            weights[np.cumsum(weights) - weights >= self.top_p * weights.sum()] = 0.0
        rising = np.cumsum(weights)
        point = rng.uniform(rng.key(self.seed, rng.Purpose.SAMPLING, row), [step])[0] * rising[-1]
        # The first id whose cumulated weight lies above the point: never one of weight zero.
        return int(order[np.searchsorted(rising, point, side="right")])
