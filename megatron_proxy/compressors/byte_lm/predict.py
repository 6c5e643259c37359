"""Who says which byte follows a string: integer frequencies of a language model, or of counts in its place."""

from __future__ import annotations

from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from ...vocab import NUM_BYTES
from ..strings.frequent_strings import Occurrences

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

    For the sample and the places where strings start see :class:`Occurrences`.
    """

    def __init__(self, data: NDArray[np.uint8], ends: NDArray[np.int64], places: NDArray[np.int32]) -> None:
        self._data, self._ends, self._places = data, ends, places
        self.start()

    def start(self) -> None:
        """Go back to the empty string."""
        self._strings = Occurrences(self._data, self._ends, self._places.copy())

    def frequencies(self) -> NDArray[np.int64]:
        """The counts as frequencies; all bytes alike after a string that nothing followed."""
        counts = self._strings.counts()
        total = counts.sum(axis=1, keepdims=True)
        return quantised(np.where(total > 0, counts / np.maximum(total, 1), 1 / NUM_BYTES))

    def descend(self, rows: NDArray[np.int64], labels: NDArray[np.uint8]) -> None:
        """Go on to other strings; no two may be the same."""
        self._strings.descend(rows, labels)


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
