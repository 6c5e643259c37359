"""A corpus that Megatron has tokenized, as a source of documents, and as the codes of its compressed view."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from ...common.parallel import Setup
from ...compressors.tokenizers.tokens import TokenCompressor
from ...errors import CorpusError, DatasetError
from ..corpus.files import shares
from ..corpus.jsonl import MAX_DOCUMENT_BYTES, too_long
from ..corpus.source import Chunk, Parsed, Source, check_one_key
from ..dataset.reader import ViewReader
from ..prepare.encode import EncodedRange, Range
from ..prepare.units import Units, span_units
from .documents import Documents, Rules, documents_of
from .prefix import opened
from .tokenizer import Tokenizer


@dataclass(frozen=True)
class TokenSource(Source):
    """The ids at ``PREFIX.bin``, what made them, and what is done with those that stand for no bytes."""

    kind = "Megatron tokens"
    tokenizer: Tokenizer
    rules: Rules

    @property
    def prefix(self) -> str:
        """The path without ``.bin`` and ``.idx``."""
        return self.path.removesuffix(".bin")

    def cut(self, begin: int, end: int, size: int) -> Iterator[TokenRange]:
        """Some documents at a time."""
        first, stop = self.between(begin, end)
        index = opened(self.prefix)
        while first < stop:
            offset = index.offset(first)
            last = self.between(offset, offset + size)[1] if size < end - offset else stop
            last = min(max(last, first + 1), stop)
            yield TokenRange(self.path, index.offset(last) - offset, self, first, last)
            first = last

    def between(self, begin: int, end: int) -> tuple[int, int]:
        """The documents that begin at the bytes ``begin … end - 1``."""
        index = opened(self.prefix)
        numbers = range(index.documents)
        return bisect_left(numbers, begin, key=index.offset), bisect_left(numbers, end, key=index.offset)

    def documents(self, first: int, stop: int, compressor: TokenCompressor) -> Documents:
        """The documents ``first … stop - 1``."""
        ids, ends = opened(self.prefix).ids(first, stop)
        return documents_of(ids, ends, compressor, self.rules, lambda number: self.where(first + number))

    def where(self, document: int) -> str:
        """The place of a document, for people."""
        return f"{self.prefix}, document {document + 1:,}"


@dataclass(frozen=True)
class TokenRange(Chunk):
    """The documents ``first … stop - 1`` of a prefix."""

    source: TokenSource
    first: int
    stop: int

    def read(self, keys: Sequence[str]) -> Parsed:
        """What the ids stand for."""
        check_one_key(self.path, keys)
        found = self.source.documents(self.first, self.stop, self.source.tokenizer.compressor())
        text = found.text
        ends = [0, *found.ends[:, 1].tolist()]
        for number, (begin, end) in enumerate(pairwise(ends)):
            if end - begin > MAX_DOCUMENT_BYTES:
                raise CorpusError(too_long(end - begin), where=self.source.where(self.first + number))
        return Parsed(self.stop - self.first, [[text[begin:end] for begin, end in pairwise(ends)]], [], found.left_out)


@dataclass(frozen=True)
class TokenCorpus:
    """Prefixes that one tokenizer has made, in order: documents, and the codes of their compressed view."""

    sources: Sequence[TokenSource]

    @property
    def name(self) -> str:
        """The compressor whose view the ids are."""
        return self.sources[0].tokenizer.name

    def described(self) -> dict[str, Any]:
        """What the manifest says of the view."""
        rules = self.sources[0].rules
        return {
            "inputs": [os.path.basename(source.prefix) for source in self.sources],
            "eod_id": rules.eod,
            "special_tokens": "drop" if rules.drop else "refuse",
        }

    def encoder(self, raw_path: str, compressor: Any, shard: tuple[int, int]) -> Setup[Range, EncodedRange]:
        """What a worker does instead of encoding a range of documents of a raw view: it takes the ids."""
        parts = [(source, *source.between(begin, end)) for source, begin, end in shares(self.sources, shard)]
        return partial(_taking, raw_path, compressor, parts)


Part = tuple[TokenSource, int, int]
"""The documents ``first … stop - 1`` of a prefix."""


def _taking(raw_path: str, compressor: TokenCompressor, parts: Sequence[Part]) -> Callable[[Range], EncodedRange]:
    return partial(_take, ViewReader(raw_path), compressor, parts)


def _take(raw: ViewReader, compressor: TokenCompressor, parts: Sequence[Part], bounds: Range) -> EncodedRange:
    """The codes of a range of the raw view's documents, which they must decode to."""
    codes: list[Units] = []
    spans: list[Units] = []
    begin, size = bounds[0], 0
    for source, first, stop in _within(parts, bounds):
        found = source.documents(first, stop, compressor)
        documents = list(raw.read_each(begin, begin + stop - first))
        lengths = np.diff(found.ends, axis=0, prepend=0)
        stored = found.codes.astype(compressor.vocabulary.code_dtype)
        same = list(map(len, documents)) == lengths[:, 1].tolist()
        if not same or found.text != b"".join(documents):
            raise DatasetError(
                "the raw view is not what the ids of these documents stand for",
                where=f"{source.where(first)} to {stop:,}",
                fix="the corpus has changed: prepare it again with --overwrite",
            )
        codes.append((stored.tobytes(), lengths[:, 0].astype(np.int32)))
        if compressor.spans:
            spans.append(_spans(compressor, found, documents))
        begin, size = begin + stop - first, size + len(found.text)
    return EncodedRange(begin - bounds[0], size, [_joined(codes), *([_joined(spans)] if compressor.spans else [])])


def _within(parts: Sequence[Part], bounds: Range) -> Iterator[Part]:
    """What of the parts is in a range of documents, counted over all parts."""
    before = 0
    for source, first, stop in parts:
        begin, end = (min(max(border - before, 0), stop - first) for border in bounds)
        if begin < end:
            yield source, first + begin, first + end
        before += stop - first


def _spans(compressor: TokenCompressor, found: Documents, documents: Sequence[bytes]) -> Units:
    codes = np.split(found.codes, found.ends[:-1, 0])
    encoded = [compressor.with_spans(*one) for one in zip(codes, documents, strict=True)]
    return span_units(compressor, list(map(len, documents)), encoded)


def _joined(units: Sequence[Units]) -> Units:
    return b"".join(content for content, _ in units), np.concatenate([lengths for _, lengths in units])
