"""Who says which byte follows a string: integer frequencies of a language model, or of counts in its place."""

from __future__ import annotations

from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from ...vocab import NUM_BYTES

FREQUENCY_BITS: Final = 20
"""Frequencies of the 256 bytes after one string add up to at most 2^20."""

_SHARE_UNITS: Final = 1_000


class Predictor(Protocol):
    """Predicts the next byte of a set of strings of one length, read from their starts.

    It begins with one string, the empty one.
    """

    def start(self) -> None:
        """Go back to the empty string."""

    def frequencies(self) -> NDArray[np.int64]:
        """How often each byte follows each string: int64 >= 1, shape (strings, 256), rows of at most 2^20 in all."""

    def descend(self, rows: NDArray[np.int64], labels: NDArray[np.uint8]) -> None:
        """Go on to other strings: string ``rows[k]`` of the present ones with the byte ``labels[k]`` after it."""


def quantised(probabilities: NDArray[np.floating]) -> NDArray[np.int64]:
    """Integer frequencies of distributions over the bytes: float, shape (strings, 256) → int64 of the same shape.

    Every byte gets at least 1, so that everything can be coded.
    """
    share = np.asarray(probabilities, dtype=np.float64) * (2**FREQUENCY_BITS - NUM_BYTES)
    return share.astype(np.int64) + 1


class CountPredictor:
    """Counts in a language model's place: what followed a string, from its start on, wherever it began in a sample.

    Parameters
    ----------
    data
        The sample: uint8, shape (bytes,).
    ends
        Where its segments end: int64, rising to ``len(data)``; nothing follows a string at its segment's end.
    places
        Where strings start: int32; every place of the sample if not given.
    """

    def __init__(
        self, data: NDArray[np.uint8], ends: NDArray[np.int64], places: NDArray[np.int32] | None = None
    ) -> None:
        self._data = data
        self._first = np.arange(len(data), dtype=np.int32) if places is None else places
        self._first_stops = ends.astype(np.int32)[np.searchsorted(ends, self._first, side="right")]
        self.start()

    def start(self) -> None:
        """Go back to the empty string."""
        self._places, self._stops = self._first, self._first_stops
        self._rows = np.zeros(len(self._places), dtype=np.int32)
        self._strings = 1
        self._depth = 0

    def frequencies(self) -> NDArray[np.int64]:
        """The counts as frequencies; all bytes alike after a string that nothing followed."""
        counts = np.bincount(self._cells(), minlength=self._strings * NUM_BYTES).reshape(-1, NUM_BYTES)
        total = counts.sum(axis=1, keepdims=True)
        return quantised(np.where(total > 0, counts / np.maximum(total, 1), 1 / NUM_BYTES))

    def descend(self, rows: NDArray[np.int64], labels: NDArray[np.uint8]) -> None:
        """Go on to other strings; no two may be the same."""
        number = np.full(self._strings * NUM_BYTES, -1, dtype=np.int32)
        number[rows * NUM_BYTES + labels] = np.arange(len(rows))
        self._rows = number[self._cells()]
        self._keep(self._rows >= 0)
        self._strings = len(rows)
        self._depth += 1

    def _cells(self) -> NDArray[np.int64]:
        """String and next byte, as one number, of every place that has a next byte; other places are dropped."""
        self._keep(self._stops - self._places > self._depth)
        return self._rows * np.int64(NUM_BYTES) + self._data[self._places + self._depth]

    def _keep(self, chosen: NDArray[np.bool_]) -> None:
        self._places, self._stops, self._rows = self._places[chosen], self._stops[chosen], self._rows[chosen]


class MixedPredictor:
    """A language model that remembers the sample: the weighted mean of two predictors.

    What was seen often is best known by counting it; what was seldom seen, by the model. The mean is as good as the
    better one within the logarithm of its weight, and the strings that come out serve unlike texts better.

    Parameters
    ----------
    one, other
        The predictors.
    share
        Weight of ``one``, 0 … 1.
    """

    def __init__(self, one: Predictor, other: Predictor, share: float) -> None:
        self._one, self._other = one, other
        self._share = round(share * _SHARE_UNITS)
        self.start()

    def start(self) -> None:
        """Go back to the empty string."""
        self._one.start()
        self._other.start()

    def frequencies(self) -> NDArray[np.int64]:
        """The mean, rounded down, but at least 1, as both are; a row still adds up to at most 2^20."""
        mean = self._share * self._one.frequencies() + (_SHARE_UNITS - self._share) * self._other.frequencies()
        return np.asarray(np.maximum(mean // _SHARE_UNITS, 1))

    def descend(self, rows: NDArray[np.int64], labels: NDArray[np.uint8]) -> None:
        """Go on to other strings."""
        self._one.descend(rows, labels)
        self._other.descend(rows, labels)
