"""``neural``: the strings that a small byte LM finds most probable, matched greedily. No LM is needed to encode.

The LM is trained on windows of the corpus, and its context begins with the window. So it gives every string a
probability of its own, and the most probable ones, a set closed under prefixes, are the candidates for symbols. By
default the probabilities are those of a mixture with the sample's own counts, in which the LM is what smooths them; a
temperature above 1 makes it smooth more.

Of the candidates those become symbols that matches use, in the sample and in the sample with deletions
(:mod:`.select_symbols`), and matches end where words begin if they can (:class:`.longest_match.LongestMatch`): two
readings of a text that start at different places then soon end at the same ones, so that an edit changes few codes.

With ``edits`` a string of n bytes counts as (1 - ``edits``)^n times as probable as it is, which gives room to shorter
ones. :mod:`megatron_proxy.compressors.byte_lm.neural_ac` has the paper's way of making symbols from an LM.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Self, override

from ...vocab import NUM_BYTES
from ..base import Corpus
from ..options import Setting
from ..sample import sample
from ..segments.segmenter import Segmenter, SegmentKind
from .enumerate_strings import compile_most_probable
from .longest_match import (
    Candidates,
    Ends,
    Longest,
    LongestMatch,
    SegmentBytes,
    Symbols,
    num_candidates,
    segmented,
)
from .neural_options import Border, Counts, LmOptions, Temperature, learner
from .string_set import ranked


@dataclass(frozen=True)
class NeuralOptions(LmOptions):
    """See :class:`NeuralCompressor`."""

    symbols: Symbols = 65_536 - NUM_BYTES
    longest: Longest = 64
    ends: Ends = "words"
    candidates: Candidates = 2.5
    edits: Annotated[
        float,
        Setting(
            "share of bytes at which other text leaves the corpus's ways; the higher, the shorter and more general the "
            "strings",
            0.0,
            0.5,
        ),
    ] = 0.0
    border: Border = 0.0
    segment_bytes: SegmentBytes = 512
    counts: Counts = 0.7
    temperature: Temperature = 1.25


class NeuralCompressor(LongestMatch):
    """Of the most probable strings of a byte LM those that are used; matches end at words."""

    name = "neural"
    learns_quickly = False
    options = NeuralOptions.flags()

    @classmethod
    @override
    def build(cls, options: Mapping[str, Any], corpus: Corpus) -> Self:
        settings = NeuralOptions.given(options, cls.name)
        segmenter = Segmenter(SegmentKind.LINES, settings.segment_bytes)
        learn = learner(settings, cls.name)
        learnt = segmented(sample(corpus, settings.sample_bytes), segmenter)
        candidates = num_candidates(settings.symbols, settings.candidates)
        compiled = compile_most_probable(
            learn(*learnt), candidates, settings.longest, settings.border or None, settings.edits
        )
        trie = ranked(compiled.parents, compiled.labels, compiled.widths[NUM_BYTES:], candidates)
        return cls.chosen(trie, settings.symbols, settings.ends == "words", learnt, segmenter)
