"""What the compressors have in common whose symbols are byte strings, matched greedily inside segments."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Final, Self, override

import numpy as np
from numpy.typing import NDArray

from ...errors import CompressorError
from ...vocab import NUM_BYTES
from .. import checks
from ..base import Compressor, Encoded, literal_codes
from ..options import MADE, Options, Setting
from ..segments.segmenter import MAX_BYTES_LIMIT, Segmenter, SegmentKind
from .double_array import Walker
from .select_symbols import most_used
from .string_set import MAX_LENGTH, MAX_STRINGS, NO_CODE, Trie, from_bytes

TRIE_FILE: Final = "strings.trie"

ENDS: Final = ("anywhere", "words")

# The types of settings, for those that several compressors have.
Symbols = Annotated[int, Setting("number of symbols, single bytes not counted", 1, MAX_STRINGS)]
Longest = Annotated[int, Setting("longest string that a symbol stands for, in bytes", 2, MAX_LENGTH)]
Ends = Annotated[
    str,
    Setting(
        "where a match ends: as late as it can (anywhere), or where a word begins if it can (words; stabler)",
        choices=ENDS,
    ),
]
Candidates = Annotated[
    float,
    Setting(
        "times as many strings as symbols are looked at, and those become symbols that matches use, in the sample and "
        "in the sample with deletions; 1: all of them do",
        1.0,
        64.0,
    ),
]
SegmentBytes = Annotated[
    int, Setting("longest segment; segments end at lines and no symbol crosses an end", 16, MAX_BYTES_LIMIT)
]
Rounds = Annotated[
    int,
    Setting(
        "1: strings may start anywhere; more: where the symbols of the round before start, denser, less stable", 1, 10
    ),
]
SampleBytes = Annotated[int, Setting("how much of the corpus is learnt from", 1, 1 << 30)]


@dataclass(frozen=True)
class StoredOptions(Options):
    """What a longest match stores, ``ends`` only where not every match is the longest one."""

    segmenter: Annotated[dict[str, Any], MADE]
    ends: Annotated[str, Setting(choices=ENDS, stored=True)] = ENDS[0]


class StringCompressor(Compressor):
    """Strings of a trie are found by one walk over a document, inside segments that end at lines.

    A subclass is made again from its configuration and one file: the trie, and what else it needs of each string.

    Parameters
    ----------
    trie
        The strings and their prefixes.
    outputs
        int32, shape (256 + strings,): what the file holds beside the trie; None for nothing.
    segmenter
        Cuts documents; no match crosses a border.
    """

    literals = True
    spans = True

    def __init__(self, trie: Trie, outputs: NDArray[np.int32] | None, segmenter: Segmenter) -> None:
        self.trie = trie
        self.segmenter = segmenter
        self._outputs = outputs

    @override
    def files(self) -> dict[str, bytes]:
        return {TRIE_FILE: self.trie.to_bytes(self._outputs)}

    @override
    def encode(self, document: bytes) -> NDArray[Any]:
        return self.encode_spans(document).codes

    @override
    def encode_spans(self, document: bytes) -> Encoded:
        ends = self.segmenter.ends(document)
        codes, code_ends = self._walk(literal_codes(document), ends)
        return Encoded(codes.copy(), ends, code_ends)

    @abstractmethod
    def _walk(self, data: NDArray[np.uint8], ends: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """The codes of some bytes whose segments end at ``ends``, and where those of each segment end."""


class LongestMatch(StringCompressor):
    """A symbol is one byte string; each match is the longest that the trie and the segment allow, or a shorter one.

    Single bytes are literals: every byte string can be encoded. For ``trie`` and ``segmenter`` see the base.

    Parameters
    ----------
    codes
        int32, shape (256 + strings,): the code of each string by number, -1 for prefixes that are no symbol. If not
        given, every string is a symbol and has its number.
    words
        Whether a match ends where a word begins if there is such a place in it.
    """

    def __init__(
        self, trie: Trie, segmenter: Segmenter, codes: NDArray[np.int32] | None = None, words: bool = False
    ) -> None:
        numbers = np.arange(NUM_BYTES + len(trie), dtype=np.int32)
        self._words = words
        self._codes = numbers if codes is None else codes
        # Matches that may end at any string are just the longest ones.
        self._plain = not words and np.array_equal(self._codes, numbers)
        self._numbers = _inverse(self._codes)
        super().__init__(trie, None if self._plain else self._codes, segmenter)

    @classmethod
    def chosen(
        cls,
        candidates: Trie,
        size: int,
        words: bool,
        sample: tuple[NDArray[np.uint8], NDArray[np.int64]],
        segmenter: Segmenter,
    ) -> Self:
        """With the ``size`` most used of the candidates as symbols; the sample is its bytes and its segments' ends."""
        if len(candidates) <= size:
            return cls(candidates, segmenter, words=words)
        trie, codes = most_used(candidates, size, *sample, words)
        return cls(trie, segmenter, codes, words)

    @classmethod
    @override
    def from_config(cls, config: Mapping[str, Any], files: Mapping[str, bytes]) -> Self:
        # Without an entry, matches are the longest ones and every string is a symbol.
        plain = "ends" not in config
        stored = StoredOptions.restored({"ends": StoredOptions.ends, **config})
        trie, codes = from_bytes(checks.file(files, TRIE_FILE), TRIE_FILE)
        if plain != (codes is None):
            raise CompressorError(f"this is a file of another compressor than {cls.name}", where=TRIE_FILE)
        return cls(trie, lines_of(stored.segmenter), codes, stored.ends == "words")

    @override
    def config(self) -> dict[str, Any]:
        ends = {} if self._plain else {"ends": ENDS[self._words]}
        return {"segmenter": self.segmenter.config()} | ends

    @property
    @override
    def num_symbols(self) -> int:
        return len(self._numbers) - NUM_BYTES

    @cached_property
    def _walker(self) -> Walker:
        return Walker(self.trie, self._codes)

    @override
    def _walk(self, data: NDArray[np.uint8], ends: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[np.int64]]:
        if self._plain:
            return self._walker.encode(data, ends, self.vocabulary.code_dtype)
        return self._walker.encode_to_borders(data, ends, self.vocabulary.code_dtype, words=self._words)

    @override
    def decode(self, codes: NDArray[Any]) -> bytes:
        codes = checks.codes_below(codes, self.vocabulary.num_codes)
        document = self.trie.spell(self._numbers[codes])
        if not np.array_equal(self.encode(document), codes):
            raise CompressorError(f"these are not the codes of a document: {self.name} would encode it in another way")
        return document

    @override
    def symbol_bytes(self) -> NDArray[np.int32]:
        return self.trie.lengths[self._numbers[NUM_BYTES:]]


def _inverse(codes: NDArray[np.int32]) -> NDArray[np.int64]:
    """The number of the string that each code stands for: int64, shape (256 + symbols,).

    Refuses codes of which two are the same or one is left out, and a single byte that has not its own.
    """
    numbers = np.flatnonzero(codes != NO_CODE)
    numbers = numbers[np.argsort(codes[numbers], kind="stable")]
    own = np.array_equal(codes[:NUM_BYTES], np.arange(NUM_BYTES))
    if not own or not np.array_equal(codes[numbers], np.arange(len(numbers))):
        raise CompressorError("its strings do not have one code each", where=TRIE_FILE, fix="train it again")
    return numbers


def lines_of(settings: Mapping[str, Any]) -> Segmenter:
    """The segmenter that stored settings describe; it cuts at lines."""
    segmenter = Segmenter.from_config(settings, {})
    if segmenter.kind is not SegmentKind.LINES:
        raise CompressorError(f"this compressor cuts at lines; its configuration says {segmenter.kind}")
    return segmenter


def num_candidates(symbols: int, times: float) -> int:
    """How many strings to choose so many symbols from, with ``times`` as many as symbols."""
    return min(MAX_STRINGS, round(symbols * times))


def segmented(documents: list[bytes], segmenter: Segmenter) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """All documents one after the other (uint8), and where their segments end (int64)."""
    ends = [np.empty(0, dtype=np.int64)]
    begin = 0
    for document in documents:
        ends.append(segmenter.ends(document) + begin)
        begin += len(document)
    return literal_codes(b"".join(documents)), np.concatenate(ends)
