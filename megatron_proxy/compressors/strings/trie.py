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
from dataclasses import dataclass
from typing import Any, Self, override

import numpy as np
from numpy.typing import NDArray

from ...vocab import NUM_BYTES
from ..base import Corpus
from ..options import Options
from ..sample import sample
from ..segments.segmenter import Segmenter, SegmentKind
from .double_array import Walker
from .frequent_strings import most_frequent
from .longest_match import (
    Candidates,
    Ends,
    Longest,
    LongestMatch,
    Rounds,
    SampleBytes,
    SegmentBytes,
    Symbols,
    num_candidates,
    segmented,
)
from .string_set import Trie


@dataclass(frozen=True)
class TrieOptions(Options):
    """See :class:`TrieCompressor`."""

    symbols: Symbols = 65_536 - NUM_BYTES
    longest: Longest = 64
    ends: Ends = "anywhere"
    candidates: Candidates = 1.0
    segment_bytes: SegmentBytes = 512
    sample_bytes: SampleBytes = 64 << 20
    rounds: Rounds = 1


class TrieCompressor(LongestMatch):
    """The most frequent strings, longest match."""

    name = "trie"
    options = TrieOptions.flags()

    @classmethod
    @override
    def build(cls, options: Mapping[str, Any], corpus: Corpus) -> Self:
        settings = TrieOptions.given(options, cls.name)
        segmenter = Segmenter(SegmentKind.LINES, settings.segment_bytes)
        learnt = segmented(sample(corpus, settings.sample_bytes), segmenter)
        candidates = num_candidates(settings.symbols, settings.candidates)
        trie = learn(*learnt, candidates, settings.longest, settings.rounds)
        return cls.chosen(trie, settings.symbols, settings.ends == "words", learnt, segmenter)


def learn(data: NDArray[np.uint8], ends: NDArray[np.int64], size: int, longest: int, rounds: int) -> Trie:
    """The strings of ``data`` after so many rounds; see :func:`most_frequent` for the arguments."""
    places = np.arange(len(data), dtype=np.int32)
    trie = most_frequent(data, ends, places, size, longest)
    for _ in range(rounds - 1):
        trie = most_frequent(data, ends, symbol_starts(trie, data, ends), size, longest)
    return trie


def symbol_starts(trie: Trie, data: NDArray[np.uint8], ends: NDArray[np.int64]) -> NDArray[np.int32]:
    """Where the symbols of ``trie`` start in ``data`` (int32, rising)."""
    codes, _ = Walker(trie).encode(data, ends)
    lengths: NDArray[np.int32] = trie.lengths[codes]
    return (np.cumsum(lengths, dtype=np.int64) - lengths).astype(np.int32)
