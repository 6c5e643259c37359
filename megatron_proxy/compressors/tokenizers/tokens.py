"""What all tokenizers share: symbols that stand for fixed strings, literals for the rest, ids or ids in bytes.

A code is a literal byte, or the symbol of a token. Which token stands for which bytes is a table, so a stream is
decoded without the tokenizer, and every document comes back byte for byte: what a tokenizer cannot represent (bytes
that are not UTF-8, what its normaliser changes) goes through literally.

``symbols`` says how a token is written: as its id (``ids``), or in bytes (:mod:`.spelling`): those of its id
(``bytes``), or of its place in the alphabet (``gray``).
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Self, override

import numpy as np
from numpy.typing import NDArray

from ...common.characters import border_before
from ...common.jit import jit
from ...errors import CompressorError
from ...vocab import NUM_BYTES
from .. import checks
from ..base import Compressor, Encoded
from ..options import Options, Setting
from ..segments.segmenter import MAX_BYTES_LIMIT, Segmenter, SegmentKind
from .spelling import Spelling
from .token_strings import TokenStrings, literals
from .word_cache import Borders, WordEncoder

# Spans of this many bytes at most, where lines allow it.
_SPANS: Final = Segmenter(SegmentKind.LINES, 256)

# Tokenizers take many times a text's size in memory while they encode it, so they get a part at a time.
PART_BYTES: Final = 1 << 20

SymbolForm = Annotated[str, Setting("how a token is written", choices=("ids", "bytes", "gray"), stored=True)]


@dataclass(frozen=True)
class TokenOptions(Options):
    """What can be set of a tokenizer that is given; a subclass adds what it is given by."""

    symbols: SymbolForm = "ids"
    split: Annotated[
        str,
        Setting(
            "spans, which the mode interleaved needs: lines encodes them on their own, tokens leaves texts whole and "
            "cuts between tokens at line ends",
            choices=("none", "lines", "tokens"),
            stored=True,
        ),
    ] = "none"


class TokenCompressor(Compressor):
    """A tokenizer as a compressor. A subclass is made of its file's content and of what its settings store, by name.

    Parameters
    ----------
    content
        The content of its file.
    settings
        How it was set.
    tokens
        The bytes that each token stands for, by id; empty for tokens that stand for nothing (control tokens).
    code_of_id
        The code of each id: a literal byte, or 256 + id.
    borders
        Where texts can be cut without changing their tokens; None where that is not known.
    odd
        Pattern of the characters that go through literally; bytes that are not UTF-8 are always among them.
    """

    settings_class: ClassVar[type[Options]]
    file_name: ClassVar[str]
    """The name of the stored file."""
    literals = True
    space_before = True
    """Whether the tokenizer may put a space before a text, as a part of its first token."""

    def __init__(
        self,
        content: bytes,
        settings: Any,
        tokens: Sequence[bytes],
        code_of_id: NDArray[np.int32],
        borders: Borders | None,
        odd: str = "",
    ) -> None:
        self.content = content
        self.settings: Options = settings
        self.symbols: str = settings.symbols
        self.control = self.symbols != "ids"
        split = getattr(settings, "split", "none")
        # Spans that are encoded on their own although the tokenizer would look across their borders.
        self.split = split == "lines"
        # Spans that end where tokens do.
        self.cut = split == "tokens"
        self.spans = self.split or self.cut
        self.no_spans_because = f"this tokenizer looks across line ends; prepare with --{self.name}-split tokens"
        self.code_of_id = code_of_id
        """int32: the code of each of the tokenizer's ids."""
        self._words = None if borders is None else WordEncoder(self._encode_whole, borders)
        self.strings = TokenStrings(tokens)
        self._odd = re.compile(f"[\udc80-\udcff{odd}]+")
        self._odd_bytes = tuple(character.encode() for character in odd)
        self._spelling = Spelling(tokens, gray=self.symbols == "gray") if self.control else None
        # A span's codes are counted in 16 bits as its bytes are, and there may be a token for every byte.
        self._width = 1 if self._spelling is None else self._spelling.width
        self._long_lines = Segmenter(SegmentKind.LINES, MAX_BYTES_LIMIT // self._width)

    @classmethod
    def from_file(cls, path: str, option: str, settings: Options) -> Self:
        """The compressor of the file that the user names with ``option``.

        Raises
        ------
        CompressorError
            Naming the flag, and the file where it is what is wrong.
        """
        flag = f"--{cls.name}-{option}"
        content = checks.read(Path(path), flag)
        try:
            return cls(content, **settings.stored())
        except CompressorError as error:  # which knows the content, but not whose it is
            where = " ".join([flag, path, *filter(None, [error.where])])
            raise CompressorError(error.what, where=where, fix=error.fix) from error

    @classmethod
    @override
    def from_config(cls, config: Mapping[str, Any], files: Mapping[str, bytes]) -> Self:
        settings = cls.settings_class.restored(config)
        return cls(checks.file(files, cls.file_name), **settings.stored())

    @override
    def config(self) -> dict[str, Any]:
        return self.settings.stored()

    @override
    def files(self) -> dict[str, bytes]:
        return {self.file_name: self.content}

    @property
    @override
    def num_symbols(self) -> int:
        return len(self.strings.sizes) - NUM_BYTES if self._spelling is None else NUM_BYTES

    @override
    def symbol_bytes(self) -> NDArray[np.int32] | None:
        return self.strings.sizes[NUM_BYTES:].astype(np.int32) if self._spelling is None else None

    @cached_property
    def bytes_per_id(self) -> NDArray[np.int64]:
        """How many bytes each of the tokenizer's ids stands for: int64."""
        return self.strings.sizes_of(self.code_of_id)

    @cached_property
    def puts_space(self) -> bool:
        """Whether the tokenizer puts a space before a text, as a part of its first token."""
        return self.space_before and self.strings.bytes_of(self.codes_of_text("x")).startswith(b" ")

    def codes_of_text(self, text: str) -> NDArray[np.int32]:
        """The codes of the tokenizer's own ids of a text, whatever bytes they stand for."""
        return self.code_of_id[self._ids_of([text])[0]]

    @abstractmethod
    def _ids_of(self, texts: list[str]) -> list[list[int]]:
        """The tokenizer's ids of each text."""

    def _by_words(self, text: str) -> bool:
        """Whether a text may be cut where :class:`.word_cache.WordEncoder` does, if there is one."""
        return True

    def _where_exact(self, text: str) -> Iterator[NDArray[np.int32]]:
        """Codes of ``text``: tokens where they stand for the characters they were made from, else literals."""
        yield literals(text.encode("utf-8"))

    @override
    def encode(self, document: bytes) -> NDArray[Any]:
        return self._written(self._tokenize(document))

    @override
    def encode_spans(self, document: bytes) -> Encoded:
        if not self.spans:
            return super().encode_spans(document)
        codes = self._tokenize(document)
        ends = self._cut_ends(codes, document)[:, 0].copy() if self.cut else self._span_ends(document)
        byte_ends = np.cumsum(self.strings.sizes_of(codes))
        code_ends = np.cumsum(np.where(codes >= NUM_BYTES, self._width, 1))
        return Encoded(self._written(codes), ends, code_ends[np.searchsorted(byte_ends, ends)])

    def with_spans(self, codes: NDArray[np.int32], document: bytes) -> Encoded:
        """Codes of a document that are there already, with spans where :meth:`encode_spans` would have them.

        A border where no code ends is moved behind the code, and one is put in where a span would get too long.
        """
        if not self.spans:
            return Encoded.as_a_whole(codes, document)
        found = self._cut_ends(codes, document)
        return Encoded(codes, found[:, 0].copy(), found[:, 1].copy())

    def _cut_ends(self, codes: NDArray[np.int32], document: bytes) -> NDArray[np.int64]:
        """Where spans of codes end, in bytes and in codes: int64, shape (spans, 2)."""
        found = np.empty((len(codes), 2), dtype=np.int64)
        longest = MAX_BYTES_LIMIT // self._width
        return found[: _cut(self.strings.sizes_of(codes), self._span_ends(document), longest, found)]

    def _tokenize(self, document: bytes) -> NDArray[np.int32]:
        found = [np.empty(0, dtype=np.int32)]
        begin = 0
        for end in self._part_ends(document):
            found += self._encode_part(document[begin:end])
            begin = end
        return np.concatenate(found)

    def _part_ends(self, document: bytes) -> list[int]:
        """Where the parts of a document end that are encoded on their own."""
        if not self.split and len(document) <= self._long_lines.max_bytes:
            return [len(document)] if document else []
        if not self.spans or self.cut:
            return _ends_of_parts(document)
        # Where lines are independent these are line ends, but for lines too long for a span.
        ends: list[int] = (self._span_ends(document) if self.split else self._long_lines.ends(document)).tolist()
        return ends

    def _span_ends(self, document: bytes) -> NDArray[np.int64]:
        """Borders of spans: segments that end with a line, and what cuts lines too long for a span."""
        ends = _SPANS.ends(document)
        if not len(ends):
            return ends
        data = np.frombuffer(document, dtype=np.uint8)
        ends = ends[(data[ends - 1] == ord("\n")) | (ends == len(document))]
        return np.union1d(ends, self._long_lines.ends(document))

    def _encode_part(self, part: bytes) -> Iterator[NDArray[np.int32]]:
        """The codes of a part, stretch by stretch: the tokenizer's, and literals for what is odd."""
        try:
            text = part.decode("utf-8")
        except UnicodeDecodeError:
            text = part.decode("utf-8", "surrogateescape")
        else:
            if not any(odd in part for odd in self._odd_bytes):
                yield self._encode_text(text)
                return
        at = 0
        for match in self._odd.finditer(text):
            if match.start() > at:
                yield self._encode_text(text[at : match.start()])
            yield literals(match.group().encode("utf-8", "surrogateescape"))
            at = match.end()
        if at < len(text):
            yield self._encode_text(text[at:])

    def _written(self, codes: NDArray[np.int32]) -> NDArray[Any]:
        """Codes as they are stored."""
        written = codes if self._spelling is None else self._spelling.write(codes)
        return written.astype(self.vocabulary.code_dtype)

    @override
    def decode(self, codes: NDArray[Any]) -> bytes:
        codes = checks.codes_below(codes, self.vocabulary.num_codes).astype(np.int32)
        if self._spelling is not None:
            codes = self._spelling.read(codes)
        if not self.strings.sizes_of(codes).all():
            raise CompressorError("a symbol that stands for nothing, such as a control token")
        return self.strings.bytes_of(codes)

    def _encode_text(self, text: str) -> NDArray[np.int32]:
        """Codes (literals, or 256 + id) of a text without odd characters, exactly."""
        if self._words is not None and self._by_words(text):
            return self._words.encode(text.encode("utf-8"))
        return self._encode_whole([text])[0]

    def _encode_whole(self, texts: list[str]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """The codes of all texts in a row, each one's exactly, and where those of each text end."""
        ids = self._ids_of(texts)
        ends = np.cumsum(np.fromiter(map(len, ids), dtype=np.int64, count=len(ids)))
        codes = self.code_of_id[np.fromiter(chain.from_iterable(ids), dtype=np.int64, count=int(ends[-1]))]
        if self._all_exact(texts, codes, ends):
            return codes, ends
        parts = [self._exactly(text, part) for text, part in zip(texts, np.split(codes, ends[:-1]), strict=True)]
        return np.concatenate(parts), np.cumsum([len(part) for part in parts])

    def _exactly(self, text: str, codes: NDArray[np.int32]) -> NDArray[np.int32]:
        """``codes`` if they stand for ``text``, else with literals where they do not."""
        expected = text.encode("utf-8")
        codes = self.strings.spoken(codes)
        found = self.strings.bytes_of(codes)
        if found == expected:
            return codes
        if self.space_before and found == b" " + expected:
            # A space put before the text belongs to the first token, and that one goes.
            return np.concatenate([literals(self.strings.bytes_of(codes[:1])[1:]), codes[1:]])
        codes = self.strings.spoken(np.concatenate([np.empty(0, dtype=np.int32), *self._where_exact(text)]))
        return codes if self.strings.bytes_of(codes) == expected else literals(expected)

    def _all_exact(self, texts: list[str], codes: NDArray[np.int32], ends: NDArray[np.int64]) -> bool:
        """Whether every text's codes stand for that text, and each of them for something."""
        own = self.strings.sizes_of(codes)
        if not own.all():
            return False
        byte_ends = np.concatenate(([0], np.cumsum(own)))[ends]
        joined = "".join(texts)
        sizes = map(len, texts if joined.isascii() else [text.encode("utf-8") for text in texts])
        expected = np.cumsum(np.fromiter(sizes, dtype=np.int64, count=len(texts)))
        return np.array_equal(byte_ends, expected) and self.strings.bytes_of(codes) == joined.encode("utf-8")


def _ends_of_parts(document: bytes) -> list[int]:
    """Ends of parts of about :data:`PART_BYTES`: behind a line if one ends there, else behind a whole character."""
    ends = []
    end = 0
    while end + PART_BYTES < len(document):
        stop = end + PART_BYTES
        newline = document.rfind(b"\n", end, stop)
        end = border_before(document, stop, end) if newline < 0 else newline + 1
        ends.append(end)
    return [*ends, len(document)]


@jit
def _cut(sizes: NDArray[np.int64], ends: NDArray[np.int64], longest: int, found: NDArray[np.int64]) -> int:
    """Where spans end in bytes and in codes, with the first code at or behind each of ``ends``; how many there are."""
    count = begin = first = end = place = 0
    for at in range(len(sizes)):
        if at > first and (place + sizes[at] - begin > longest or at - first == longest):
            found[count, 0], found[count, 1] = place, at
            count += 1
            begin, first = place, at
        place += sizes[at]
        reached = at == len(sizes) - 1
        while end < len(ends) and ends[end] <= place:
            reached = True
            end += 1
        if reached:
            found[count, 0], found[count, 1] = place, at + 1
            count += 1
            begin, first = place, at + 1
    return count
