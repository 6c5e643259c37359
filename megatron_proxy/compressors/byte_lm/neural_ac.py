"""``neural-ac``: the paper's neural compressor, equal-information windows of an arithmetic coder, compiled into a trie.

See :mod:`.windows` for what a window is. Bytes of a window that its segment's end cuts short stay literal bytes in
the compressed view. The way back is fuzzy: windows that begin with one another can share a code, and the likeliest is
taken. (:mod:`megatron_proxy.compressors.strings.neural` gives every string a symbol of its own.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, Self, override

import numpy as np
from numpy.typing import NDArray

from ...errors import CompressorError
from ...vocab import NUM_BYTES
from .. import checks
from ..base import Corpus
from ..options import MADE, Setting
from ..sample import sample
from ..segments.segmenter import Segmenter, SegmentKind
from ..strings.double_array import Walker
from ..strings.enumerate_strings import CompiledStrings, compile_windows
from ..strings.longest_match import (
    TRIE_FILE,
    Longest,
    SegmentBytes,
    StringCompressor,
    lines_of,
    segmented,
)
from ..strings.neural_options import Border, Counts, LmOptions, learner
from ..strings.string_set import NO_CODE, Trie, from_bytes
from .windows import likeliest, window_codes


@dataclass(frozen=True)
class NeuralAcOptions(LmOptions):
    """See :class:`NeuralAcCompressor`."""

    bits: Annotated[
        int, Setting("bits of a window's code; there are 2^bits symbols", choices=(8, 12, 16), stored=True)
    ] = 16
    longest: Longest = 64
    border: Border = 0.0
    segment_bytes: SegmentBytes = 512
    counts: Counts = 0.8
    segmenter: Annotated[dict[str, Any], MADE] = field(default_factory=dict)


class NeuralAcCompressor(StringCompressor):
    """Arithmetic-coding windows of a fixed number of bits, by longest match.

    Parameters
    ----------
    bits
        Width of a code: 8, 12 or 16.
    trie
        Every string that fits a window.
    outputs
        int32, shape (256 + strings,): the window's code (-1 for a single byte that fits no window), doubled, plus 1
        where the string is what its code is decoded as.
    segmenter
        Cuts documents; no window crosses a border.
    """

    name = "neural-ac"
    learns_quickly = False
    options = NeuralAcOptions.flags()
    lossless = False

    def __init__(self, bits: int, trie: Trie, outputs: NDArray[np.int32], segmenter: Segmenter) -> None:
        super().__init__(trie, outputs, segmenter)
        self.bits = bits
        self._codes = outputs >> 1
        self._string_of = _inverse(self._codes, outputs & 1 == 1, bits)

    @classmethod
    @override
    def build(cls, options: Mapping[str, Any], corpus: Corpus) -> Self:
        settings = NeuralAcOptions.given(options, cls.name)
        segmenter = Segmenter(SegmentKind.LINES, settings.segment_bytes)
        learn = learner(settings, cls.name)
        predictor = learn(*segmented(sample(corpus, settings.sample_bytes), segmenter))
        compiled = compile_windows(predictor, settings.bits, settings.longest, settings.border or None)
        return cls.of_windows(compiled, settings.bits, segmenter)

    @classmethod
    def of_windows(cls, compiled: CompiledStrings, bits: int, segmenter: Segmenter) -> Self:
        """The compressor of compiled windows of so many bits."""
        codes = window_codes(compiled, bits)
        best = likeliest(compiled, codes, bits)
        outputs = 2 * codes
        outputs[best[best >= 0]] += 1
        return cls(bits, Trie(compiled.parents.astype(np.int32), compiled.labels), outputs, segmenter)

    @classmethod
    @override
    def from_config(cls, config: Mapping[str, Any], files: Mapping[str, bytes]) -> Self:
        stored = NeuralAcOptions.restored(config)
        trie, outputs = from_bytes(checks.file(files, TRIE_FILE), TRIE_FILE)
        if outputs is None:
            raise CompressorError(f"this is a file of another compressor than {cls.name}", where=TRIE_FILE)
        return cls(stored.bits, trie, outputs, lines_of(stored.segmenter))

    @override
    def config(self) -> dict[str, Any]:
        return NeuralAcOptions(bits=self.bits, segmenter=self.segmenter.config()).stored()

    @property
    @override
    def num_symbols(self) -> int:
        return 1 << self.bits

    @cached_property
    def _walker(self) -> Walker:
        return Walker(self.trie, np.where(self._codes == NO_CODE, NO_CODE, self._codes + NUM_BYTES))

    @override
    def _walk(self, data: NDArray[np.uint8], ends: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[np.int64]]:
        return self._walker.encode(data, ends, self.vocabulary.code_dtype, whole=True)

    @override
    def decode(self, codes: NDArray[Any]) -> bytes:
        """The likeliest bytes; a symbol that no window has raises a CompressorError."""
        codes = checks.codes_below(codes, self.vocabulary.num_codes)
        strings = self._string_of[codes]
        unknown = np.flatnonzero(strings == NO_CODE)
        if len(unknown):
            raise CompressorError(f"code {codes[unknown[0]]} at place {unknown[0]} is not the code of any window")
        return self.trie.spell(strings)


def _inverse(codes: NDArray[np.int32], is_best: NDArray[np.bool_], bits: int) -> NDArray[np.int32]:
    """Code to number of a string: int32, shape (256 + 2^bits,); -1 for codes of no window."""
    if (codes < NO_CODE).any() or (codes >= 1 << bits).any() or (codes[NUM_BYTES:] < 0).any():
        raise CompressorError(f"this file holds no windows of {bits} bits", where=TRIE_FILE)
    chosen = np.flatnonzero(is_best & (codes >= 0))
    if len(np.unique(codes[chosen])) != len(chosen) or len(chosen) != len(np.unique(codes[codes >= 0])):
        raise CompressorError("not every window's code has one string to be decoded as", where=TRIE_FILE)
    strings = np.full(NUM_BYTES + (1 << bits), NO_CODE, dtype=np.int32)
    strings[:NUM_BYTES] = np.arange(NUM_BYTES)
    strings[NUM_BYTES + codes[chosen]] = chosen
    return strings
