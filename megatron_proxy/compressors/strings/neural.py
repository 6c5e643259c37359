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
from typing import Any, ClassVar, Self, override

from ..base import Corpus, Option
from .enumerate_strings import NUM_BYTES, compile_most_probable
from .longest_match import (
    LONGEST,
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
from .neural_options import (
    BORDER,
    EDITS,
    LM_OPTIONS,
    border_option,
    counts_option,
    edits_option,
    learning_options,
    temperature_option,
)
from .string_set import ranked


class NeuralCompressor(LongestMatch):
    """Of the most probable strings of a byte LM those that are used; matches end at words."""

    name = "neural"
    options: ClassVar[tuple[Option, ...]] = (
        SYMBOLS,
        LONGEST,
        ends_option("words"),
        candidates_option(2.5),
        EDITS,
        BORDER,
        SEGMENT_BYTES,
        counts_option(0.7),
        temperature_option(1.25),
        *LM_OPTIONS,
    )

    @classmethod
    @override
    def build(cls, options: Mapping[str, Any], corpus: Corpus) -> Self:
        size, longest = string_options(options, cls.name)
        candidates, words = ending_options(options, cls.name, size)
        border = border_option(options, cls.name)
        edits = edits_option(options, cls.name)
        segmenter = segmenter_option(options, cls.name)
        learning = learning_options(options, cls.name)
        sample = learning_sample(options, cls.name, corpus, segmenter)
        compiled = compile_most_probable(learning.predictor(*sample), candidates, longest, border, edits)
        trie = ranked(compiled.parents, compiled.labels, compiled.widths[NUM_BYTES:], candidates)
        return cls.chosen(trie, size, words, sample, segmenter)
