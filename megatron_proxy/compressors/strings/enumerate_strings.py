"""Run a predictor over the most probable strings, once, and write down what it said as integers.

Coder and context are reset at the start of every window, so what a string's bytes cost depends on the string alone,
and the strings that fit a window are finitely many: those whose interval is at least 2^-bits wide. They are found
level by level, every string's extensions from its own interval:

    width(string + byte) = width(string) * frequency(byte) >> 20        (in units of 2^-40, the empty string's is 2^40)

After this no float can change a symbol.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ...vocab import NUM_BYTES
from ..byte_lm.predict import FREQUENCY_BITS, Predictor
from .string_set import nth_largest

INTERVAL_BITS: Final = 40
"""Intervals are given in units of 2^-40."""

FINEST_BITS: Final = 22
"""Strings are sought down to a probability of 2^-22."""


@dataclass(frozen=True)
class CompiledStrings:
    """Strings and their intervals, numbered as in :class:`.string_set.Trie`: the 256 single bytes, then the others.

    The others are in the order of their lengths, then of their prefixes, then of their last bytes.

    Parameters
    ----------
    parents
        int64, shape (strings,): the number of the string that each extends by one byte.
    labels
        uint8, shape (strings,): that byte.
    lows, widths
        int64, shape (256 + strings,): the interval of each, in units of 2^-40.
    """

    parents: NDArray[np.int64]
    labels: NDArray[np.uint8]
    lows: NDArray[np.int64]
    widths: NDArray[np.int64]


def compile_windows(predictor: Predictor, bits: int, longest: int, border: float | None = None) -> CompiledStrings:
    """Every string of at most ``longest`` bytes whose interval is at least 2^-bits wide, and all single bytes.

    With ``border``, no string goes on where the next byte's entropy is above it (in bits).
    """
    return _compile(predictor, longest, border, lambda widths: 1 << (INTERVAL_BITS - bits))


def compile_most_probable(
    predictor: Predictor, size: int, longest: int, border: float | None = None, edits: float = 0.0
) -> CompiledStrings:
    """The ``size`` most probable strings of 2 to ``longest`` bytes or a few more, and all single bytes.

    Fewer come back if fewer have a probability of 2^-22 or more. ``edits`` is the share of bytes at which a text is
    taken to go on in a way that nothing is known of: a string of n bytes is (1 - edits)^n times as probable.
    """
    finest = 1 << (INTERVAL_BITS - FINEST_BITS)
    return _compile(predictor, longest, border, lambda widths: max(finest, nth_largest(widths, size)), edits)


def split(
    lows: NDArray[np.int64], widths: NDArray[np.int64], frequencies: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The intervals of all extensions by one byte: lows and widths, int64, shape (strings, 256).

    Takes the strings' own intervals, shape (strings,), and the frequencies of the next bytes, shape (strings, 256).
    """
    below = np.cumsum(frequencies, axis=1) - frequencies
    return lows[:, None] + (widths[:, None] * below >> FREQUENCY_BITS), widths[:, None] * frequencies >> FREQUENCY_BITS


def entropy(frequencies: NDArray[np.int64]) -> NDArray[np.float64]:
    """Entropy of the next byte, in bits: shape (strings, 256) → (strings,)."""
    share = frequencies / frequencies.sum(axis=1, keepdims=True)
    return np.asarray(-(share * np.log2(share)).sum(axis=1))


def _compile(
    predictor: Predictor,
    longest: int,
    border: float | None,
    least: Callable[[NDArray[np.int64]], int],
    edits: float = 0.0,
) -> CompiledStrings:
    """Level by level; ``least`` tells from the widths of all strings so far how wide a string must be."""
    # Intervals that no string has are what the unknown gets.
    known = round((1.0 - edits) * (1 << FREQUENCY_BITS))
    predictor.start()
    lows, widths = split(np.zeros(1, np.int64), np.array([1 << INTERVAL_BITS]), predictor.frequencies())
    widths = widths * known >> FREQUENCY_BITS
    found = CompiledStrings(np.empty(0, np.int64), np.empty(0, np.uint8), lows[0], widths[0])
    rows, labels, numbers = np.zeros(NUM_BYTES, np.int64), np.arange(NUM_BYTES, dtype=np.uint8), np.arange(NUM_BYTES)
    for _ in range(2, longest + 1):
        predictor.descend(rows, labels)
        frequencies = predictor.frequencies()
        lows, widths = split(found.lows[numbers], found.widths[numbers], frequencies)
        widths = widths * known >> FREQUENCY_BITS
        if border is not None:
            widths[entropy(frequencies) > border] = 0
        floor = least(np.concatenate([found.widths[NUM_BYTES:], widths[widths > 0]]))
        rows, columns = np.nonzero(widths >= floor)
        if not len(rows):
            break
        labels = columns.astype(np.uint8)
        prefixes, numbers = numbers[rows], len(found.widths) + np.arange(len(rows))
        found = CompiledStrings(
            np.concatenate([found.parents, prefixes]),
            np.concatenate([found.labels, labels]),
            np.concatenate([found.lows, lows[rows, columns]]),
            np.concatenate([found.widths, widths[rows, columns]]),
        )
    return found
