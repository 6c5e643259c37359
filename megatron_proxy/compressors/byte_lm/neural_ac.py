"""``neural-ac``: the paper's neural compressor, equal-information windows of an arithmetic coder, compiled into a trie.

See :mod:`.windows` for what a window is. Bytes of a window that its segment's end cuts short stay literal bytes in
the compressed view. The way back is fuzzy: windows that begin with one another can share a code, and the likeliest is
taken. (:mod:`megatron_proxy.compressors.strings.neural` gives every string a symbol of its own.)
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar, Final, Self, override

import numpy as np
from numpy.typing import NDArray

from ...errors import CompressorError
from .. import checks
from ..base import Compressor, Corpus, Encoded, Option, literal_codes
from ..segments.segmenter import Segmenter
from ..strings.double_array import Walker
from ..strings.enumerate_strings import Compiled, compile_windows
from ..strings.longest_match import (
    LONGEST,
    SEGMENT_BYTES,
    TRIE_FILE,
    checked_codes,
    learning_sample,
    lines_of,
    segmenter_option,
)
from ..strings.neural_options import (
    BORDER,
    LM_OPTIONS,
    border_option,
    counts_option,
    learning_options,
    temperature_option,
)
from ..strings.string_set import MAX_LENGTH, NUM_BYTES, Trie, from_bytes
from .windows import NO_CODE, likeliest, window_codes

_WIDTHS: Final = (8, 12, 16)
_BITS: Final = Option("bits", int, 16, "bits of a window's code; there are 2^bits symbols", _WIDTHS)


class NeuralAcCompressor(Compressor):
    """Arithmetic-coding windows of a fixed number of bits, by longest match.

    Parameters
    ----------
    bits
        Width of a code: 8, 12 or 16.
    trie
        Every string that fits a window.
    outputs
        int32, shape (2, 256 + strings). Row 0: the window's code; -1 for a single byte that fits no window. Row 1: 1
        where the string is what its code is decoded as.
    segmenter
        Cuts documents; no window crosses a border.
    """

    name = "neural-ac"
    options: ClassVar[tuple[Option, ...]] = (
        _BITS,
        LONGEST,
        BORDER,
        SEGMENT_BYTES,
        counts_option(0.8),
        temperature_option(1.0),
        *LM_OPTIONS,
    )
    lossless: ClassVar[bool] = False
    literals = True
    spans = True

    def __init__(self, bits: int, trie: Trie, outputs: NDArray[np.int32], segmenter: Segmenter) -> None:
        self.bits = bits
        self.trie = trie
        self.segmenter = segmenter
        self._outputs = outputs
        self._string_of = _inverse(outputs, bits)

    @classmethod
    @override
    def build(cls, options: Mapping[str, Any], corpus: Corpus) -> Self:
        bits = _bits(options)
        longest = checks.option(options, cls.name, "longest", 2, MAX_LENGTH)
        border = border_option(options, cls.name)
        segmenter = segmenter_option(options, cls.name)
        learning = learning_options(options, cls.name)
        predictor = learning.predictor(*learning_sample(options, cls.name, corpus, segmenter))
        return cls.of_windows(compile_windows(predictor, bits, longest, border), bits, segmenter)

    @classmethod
    def of_windows(cls, compiled: Compiled, bits: int, segmenter: Segmenter) -> Self:
        """The compressor of compiled windows of so many bits."""
        codes = window_codes(compiled, bits)
        best = likeliest(compiled, codes, bits)
        is_best = np.zeros(len(codes), dtype=np.int32)
        is_best[best[best >= 0]] = 1
        trie = Trie(compiled.parents.astype(np.int32), compiled.labels)
        return cls(bits, trie, np.stack([codes, is_best]), segmenter)

    @classmethod
    @override
    def from_config(cls, config: Mapping[str, Any], files: Mapping[str, bytes]) -> Self:
        bits = _bits(config)
        trie, outputs = from_bytes(checks.file(files, TRIE_FILE), TRIE_FILE)
        if outputs is None:
            raise CompressorError(f"this is a file of another compressor than {cls.name}", where=TRIE_FILE)
        # One int32 per string: the code doubled, plus 1 where the code is decoded as this string.
        return cls(bits, trie, np.stack([outputs >> 1, outputs & 1]), lines_of(config))

    @override
    def config(self) -> dict[str, Any]:
        return {"bits": self.bits, "segmenter": self.segmenter.config()}

    @override
    def files(self) -> dict[str, bytes]:
        return {TRIE_FILE: self._content}

    @cached_property
    def _content(self) -> bytes:
        return self.trie.to_bytes(self._outputs[0] * 2 + self._outputs[1])

    @property
    @override
    def vocab_size(self) -> int:
        return 1 << self.bits

    @cached_property
    def _walker(self) -> Walker:
        codes = self._outputs[0]
        return Walker.of(self.trie, np.where(codes == NO_CODE, NO_CODE, codes + NUM_BYTES).astype(np.int32))

    @override
    def encode(self, document: bytes) -> NDArray[Any]:
        return self.encode_spans(document).codes

    @override
    def encode_spans(self, document: bytes) -> Encoded:
        ends = self.segmenter.ends(document)
        out = np.empty(len(document), dtype=self.vocabulary.code_dtype)
        code_ends = self._walker.encode_windows(literal_codes(document), ends, out)
        return Encoded(out[: code_ends[-1] if len(ends) else 0].copy(), ends, code_ends)

    @override
    def decode(self, codes: NDArray[Any]) -> bytes:
        """The likeliest bytes; a symbol that no window has raises a CompressorError."""
        codes = checked_codes(codes, self.vocabulary.num_codes)
        strings = self._string_of[codes]
        unknown = np.flatnonzero(strings == NO_CODE)
        if len(unknown):
            raise CompressorError(f"code {codes[unknown[0]]} at place {unknown[0]} is not the code of any window")
        return self.trie.spell(strings)


def _bits(options: Mapping[str, Any]) -> int:
    """The width of a code, from options or a stored configuration."""
    bits = options.get("bits")
    if bits not in _WIDTHS:
        raise CompressorError(f"windows have 8, 12 or 16 bits, not {bits!r}", where="--neural-ac-bits")
    return int(bits)


def _inverse(outputs: NDArray[np.int32], bits: int) -> NDArray[np.int32]:
    """Code to number of a string: int32, shape (256 + 2^bits,); -1 for codes of no window.

    Raises
    ------
    CompressorError
        If the outputs are not those of windows of so many bits.
    """
    codes, is_best = outputs
    if (codes < NO_CODE).any() or (codes >= 1 << bits).any() or (codes[NUM_BYTES:] < 0).any():
        raise CompressorError(
            f"this file holds no windows of {bits} bits", where=TRIE_FILE, fix="give its --neural-ac-bits"
        )
    chosen = np.flatnonzero((is_best == 1) & (codes >= 0))
    if len(np.unique(codes[chosen])) != len(chosen) or len(chosen) != len(np.unique(codes[codes >= 0])):
        raise CompressorError("not every window's code has one string to be decoded as", where=TRIE_FILE)
    strings = np.full(NUM_BYTES + (1 << bits), NO_CODE, dtype=np.int32)
    strings[:NUM_BYTES] = np.arange(NUM_BYTES)
    strings[NUM_BYTES + codes[chosen]] = chosen
    return strings
