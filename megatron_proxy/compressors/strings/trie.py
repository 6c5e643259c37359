"""``trie``: the most frequent byte strings of the corpus, matched greedily. Counts, no language model.

Strings are ranked by how often they occur, wherever they start in the corpus. With more ``rounds`` only the places
count where the symbols of the round before start: a second round gives a tenth more bytes per symbol, later ones
little. But then few strings serve a text that is read from another place on, as after an edit, so the mapping is less
stable, and one round is the default.

It is the baseline of :mod:`.neural`, and by default has none of its refinements; its options give it those of them that
need no language model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final, Self, override

import numpy as np
from numpy.typing import NDArray

from .. import checks
from ..base import Corpus, Option
from .double_array import Walker
from .frequent_strings import most_frequent
from .longest_match import (
    LONGEST,
    ROUNDS,
    SAMPLE_BYTES,
    SEGMENT_BYTES,
    SYMBOLS,
    LongestMatch,
    candidates_option,
    ending_options,
    ends_option,
    learning_sample,
    segmenter_option,
    string_options,
)
from .string_set import Trie

MAX_ROUNDS: Final = 10


class TrieCompressor(LongestMatch):
    """The most frequent strings, longest match."""

    name = "trie"
    options: ClassVar[tuple[Option, ...]] = (
        SYMBOLS,
        LONGEST,
        ends_option("anywhere"),
        candidates_option(1.0),
        SEGMENT_BYTES,
        SAMPLE_BYTES,
        ROUNDS,
    )

    @classmethod
    @override
    def build(cls, options: Mapping[str, Any], corpus: Corpus) -> Self:
        size, longest = string_options(options, cls.name)
        candidates, words = ending_options(options, cls.name, size)
        rounds = checks.option(options, cls.name, "rounds", 1, MAX_ROUNDS)
        segmenter = segmenter_option(options, cls.name)
        sample = learning_sample(options, cls.name, corpus, segmenter)
        return cls.chosen(learn(*sample, candidates, longest, rounds), size, words, sample, segmenter)


def learn(data: NDArray[np.uint8], ends: NDArray[np.int64], size: int, longest: int, rounds: int) -> Trie:
    """The strings of ``data`` after so many rounds; see :func:`most_frequent` for the arguments."""
    places = np.arange(len(data), dtype=np.int32)
    trie = most_frequent(data, ends, places, size, longest)
    for _ in range(rounds - 1):
        trie = most_frequent(data, ends, symbol_starts(trie, data, ends), size, longest)
    return trie


def symbol_starts(trie: Trie, data: NDArray[np.uint8], ends: NDArray[np.int64]) -> NDArray[np.int32]:
    """Where the symbols of ``trie`` start in ``data`` (int32, rising)."""
    codes = np.empty(len(data), dtype=np.int32)
    code_ends = Walker.of(trie).encode(data, ends, codes)
    lengths = trie.lengths[codes[: code_ends[-1] if len(ends) else 0]]
    return (np.cumsum(lengths, dtype=np.int64) - lengths).astype(np.int32)
