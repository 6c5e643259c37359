"""What the compressors have in common whose symbols are byte strings, matched greedily inside segments."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Final, Self, override

import numpy as np
from numpy.typing import NDArray

from ..errors import CompressorError
from ..segment import MAX_BYTES_LIMIT, Kind, Segmenter
from . import _check
from ._segments import restore_segmenter
from ._trie import MAX_LENGTH, MAX_STRINGS, NUM_BYTES, Trie, from_bytes
from ._walk import Walker
from .base import Compressor, Encoded, Option, literal_codes

TRIE_FILE: Final = "strings.trie"

SYMBOLS = Option("symbols", int, 65_536 - NUM_BYTES, "number of symbols, single bytes not counted")
LONGEST = Option("longest", int, 64, "longest string that a symbol stands for, in bytes")
SEGMENT_BYTES = Option("segment-bytes", int, 512, "longest segment; segments end at lines and no symbol crosses an end")
ROUNDS = Option(
    "rounds",
    int,
    1,
    "1: strings may start anywhere; more: where the symbols of the round before start, denser, less stable",
)
SAMPLE_BYTES = Option("sample-bytes", int, 64 << 20, "how much of the corpus is learnt from")


class LongestMatch(Compressor):
    """A symbol is one byte string; each match is the longest that the trie and the segment allow.

    Every prefix of a symbol's string is a symbol or a single byte, so a match never has to step back. Single bytes are
    literals: every byte string can be encoded.
    """

    literals = True
    spans = True

    def __init__(self, trie: Trie, segmenter: Segmenter) -> None:
        self.trie = trie
        self.segmenter = segmenter

    @classmethod
    @override
    def from_config(cls, config: Mapping[str, Any], files: Mapping[str, bytes]) -> Self:
        trie, outputs = from_bytes(_check.file(files, TRIE_FILE), TRIE_FILE)
        if outputs is not None:
            raise CompressorError(f"this is a file of another compressor than {cls.name}", where=TRIE_FILE)
        return cls(trie, lines_of(config))

    @override
    def config(self) -> dict[str, Any]:
        return {"segmenter": self.segmenter.config()}

    @override
    def files(self) -> dict[str, bytes]:
        return {TRIE_FILE: self._content}

    @cached_property
    def _content(self) -> bytes:
        return self.trie.to_bytes()

    @property
    @override
    def vocab_size(self) -> int:
        return len(self.trie)

    @cached_property
    def _walker(self) -> Walker:
        return Walker.of(self.trie)

    @cached_property
    def _dtype(self) -> np.dtype[Any]:
        return self.vocabulary.code_dtype

    @override
    def encode(self, document: bytes) -> NDArray[Any]:
        return self.encode_spans(document).codes

    @override
    def encode_spans(self, document: bytes) -> Encoded:
        ends = self.segmenter.ends(document)
        out = np.empty(len(document), dtype=self._dtype)
        code_ends = self._walker.encode(literal_codes(document), ends, out)
        return Encoded(out[: code_ends[-1] if len(ends) else 0].copy(), ends, code_ends)

    @override
    def decode(self, codes: NDArray[Any]) -> bytes:
        codes = checked_codes(codes, self.vocabulary.num_codes)
        document = self.trie.spell(codes)
        if not np.array_equal(self.encode(document), codes):
            raise CompressorError(f"these are not the codes of a document: {self.name} would encode it in another way")
        return document

    @override
    def symbol_bytes(self) -> NDArray[np.int32]:
        return self.trie.lengths[NUM_BYTES:]


def checked_codes(codes: NDArray[Any], count: int) -> NDArray[np.int64]:
    """``codes`` as int64 if they are integers of ``range(count)``.

    Raises
    ------
    CompressorError
        If they are not, with the first that is not and its place.
    """
    codes = np.asarray(codes)
    if codes.ndim != 1 or (codes.size and codes.dtype.kind not in "iu"):
        raise CompressorError(f"codes are a 1-D array of integers, not {codes.ndim}-D of {codes.dtype}")
    outside = np.flatnonzero((codes < 0) | (codes >= count))
    if len(outside):
        raise CompressorError(f"code {codes[outside[0]]} at place {outside[0]} is not one of the {count:,} codes")
    return codes.astype(np.int64)


def lines_of(config: Mapping[str, Any]) -> Segmenter:
    """The segmenter that a stored configuration describes; it cuts at lines."""
    segmenter = restore_segmenter(config, {})
    if segmenter.kind is not Kind.LINES:
        raise CompressorError(f"this compressor cuts at lines; its configuration says {segmenter.kind}")
    return segmenter


def segmenter_option(options: Mapping[str, Any], compressor: str) -> Segmenter:
    """The segmenter that ``--<compressor>-segment-bytes`` asks for."""
    return Segmenter(Kind.LINES, _check.option(options, compressor, "segment-bytes", 16, MAX_BYTES_LIMIT))


def string_options(options: Mapping[str, Any], compressor: str) -> tuple[int, int]:
    """Number of symbols and longest string, in bytes."""
    size = _check.option(options, compressor, "symbols", 1, MAX_STRINGS)
    return size, _check.option(options, compressor, "longest", 2, MAX_LENGTH)


def segmented(documents: list[bytes], segmenter: Segmenter) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """All documents one after the other (uint8), and where their segments end (int64)."""
    ends = [np.empty(0, dtype=np.int64)]
    begin = 0
    for document in documents:
        ends.append(segmenter.ends(document) + begin)
        begin += len(document)
    return literal_codes(b"".join(documents)), np.concatenate(ends)
