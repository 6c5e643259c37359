r"""Cut a document into segments that are compressed on their own: whole document, lines, sentences, fixed size.

A segmentation is the int64 array of the segments' ends in bytes: rising, the last one the document's length, empty for
the empty document. Segments are cut by span, so no byte is ever lost or changed.

Borders of ``lines`` depend on nearby content, never on a running length, so that one edit moves the borders around it
and no others. Every line start is a candidate with a priority: first after a blank line, then at a smaller indent,
then by a hash of the line. A candidate becomes a border exactly if the stretch between its nearest neighbours of higher
priority, left and right, is longer than ``max_bytes``. This is the leaf rule of a treap (Seidel and Aragon, "Randomized
search trees", 1996) stopped at subtrees that fit: every segment fits, about two segments per ``max_bytes`` come out,
and whether a candidate is a border is decided by the stretch around it alone.

>>> text = b"def f():\n    return 1\n\n\ndef g():\n    return 2\n"
>>> Segmenter(SegmentKind.LINES, 40).ends(text).tolist()
[25, 47]
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...common.jit import jit
from ...errors import CompressorError
from .. import checks
from ..base import Corpus
from ..sample import sample
from . import punkt
from .punkt import Punkt

PUNKT_FILE: Final = "punkt.json"
_PUNKT_SAMPLE_BYTES: Final = 4 << 20

MAX_BYTES_LIMIT: Final = 65_535
"""Longest segment: span tables are uint16."""

# Candidates are collected for one stretch of a document at a time, which bounds memory; a document longer than this
# has one border per stretch that does depend on the length before it.
_STRETCH: Final = 1 << 22


class SegmentKind(StrEnum):
    """How documents are cut."""

    DOCUMENT = "document"
    LINES = "lines"
    SENTENCES = "sentences"
    FIXED = "fixed"


@dataclass(frozen=True)
class Segmenter:
    """Cuts documents of one corpus.

    Parameters
    ----------
    kind
        How to cut.
    max_bytes
        Longest segment in bytes, 1 … 65,535; ignored for whole documents.
    punkt
        The corpus's sentence borders; needed for sentences only.
    """

    kind: SegmentKind
    max_bytes: int = MAX_BYTES_LIMIT
    punkt: Punkt | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not 1 <= self.max_bytes <= MAX_BYTES_LIMIT:
            raise CompressorError(f"segments of {self.max_bytes} bytes: 1 to {MAX_BYTES_LIMIT} are possible")
        if (self.kind is SegmentKind.SENTENCES) != (self.punkt is not None):
            raise CompressorError(f"segments by {self.kind} go {'without' if self.punkt else 'with'} a Punkt model")

    def ends(self, document: bytes) -> NDArray[np.int64]:
        """Where the segments of ``document`` end: int64, shape (segments,)."""
        if not document:
            return np.empty(0, dtype=np.int64)
        if self.kind is SegmentKind.DOCUMENT:
            return np.array([len(document)], dtype=np.int64)
        if self.kind is SegmentKind.FIXED:
            return np.append(np.arange(self.max_bytes, len(document), self.max_bytes), len(document))
        data = np.frombuffer(document, dtype=np.uint8)
        if self.punkt is not None:
            return _cut_long(data, self.punkt.ends(document), self.max_bytes)
        return _lines(document, data, self.max_bytes)

    def cut(self, documents: Iterable[bytes]) -> Iterator[bytes]:
        """All segments of ``documents``."""
        for document in documents:
            begin = 0
            for end in self.ends(document).tolist():
                yield document[begin:end]
                begin = end

    @classmethod
    def learnt(cls, kind: SegmentKind, max_bytes: int, corpus: Corpus) -> Segmenter:
        """One that learns from the corpus what it needs."""
        model = Punkt(punkt.train(sample(corpus, _PUNKT_SAMPLE_BYTES))) if kind is SegmentKind.SENTENCES else None
        return cls(kind, max_bytes, model)

    def config(self) -> dict[str, Any]:
        """The settings, JSON-able."""
        return {"kind": str(self.kind), "max_bytes": self.max_bytes}

    def files(self) -> dict[str, bytes]:
        """What it adds to its compressor's files."""
        return {PUNKT_FILE: self.punkt.parameters} if self.punkt else {}

    @classmethod
    def from_config(cls, config: Mapping[str, Any], files: Mapping[str, bytes]) -> Segmenter:
        """The inverse of :meth:`config` and :meth:`files`.

        Raises
        ------
        CompressorError
            If the settings are not a segmenter's, or a file is missing.
        """
        model = Punkt(checks.file(files, PUNKT_FILE)) if config.get("kind") == SegmentKind.SENTENCES else None
        try:
            return cls(SegmentKind(config["kind"]), operator.index(config["max_bytes"]), model)
        except (KeyError, TypeError, ValueError) as error:
            raise CompressorError(f"not the settings of a segmenter: {dict(config)!r} ({error})") from error


def _lines(document: bytes, data: NDArray[np.uint8], max_bytes: int) -> NDArray[np.int64]:
    found = []
    begin = 0
    while begin < len(document):
        # A stretch ends after a line, if one ends soon enough.
        stop = begin + _STRETCH
        newline = document.find(b"\n", stop, stop + (_STRETCH >> 2))
        end = min(stop, len(document)) if newline < 0 else newline + 1
        found.append(_borders_at_lines(data[begin:end], max_bytes) + begin)
        begin = end
    return _cut_long(data, np.concatenate(found), max_bytes)


@jit
def _priority(strength: int, content: np.uint64, position: int) -> np.uint64:
    """Strength (8 bits) above a hash of the content (32 bits) above one of the place, which breaks ties only."""
    content = np.uint64(content)
    content = (content ^ (content >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    place = (np.uint64(position) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    return (
        (np.uint64(strength) << np.uint64(56)) | (content >> np.uint64(32) << np.uint64(24)) | (place >> np.uint64(40))
    )


@jit
def _borders_at_lines(data: NDArray[np.uint8], max_bytes: int) -> NDArray[np.int64]:
    """Ends among the starts of all lines that are not blank."""
    lines = 1
    for byte in data:
        lines += byte == 10
    positions = np.empty(lines, dtype=np.int64)
    priorities = np.empty(lines, dtype=np.uint64)
    size = len(data)
    count = 0
    begin = 0
    blank_before = False
    while begin < size:
        at = begin
        while at < size and (data[at] == 32 or data[at] == 9 or data[at] == 13):
            at += 1
        if at < size and data[at] == 10:
            blank_before = True
            begin = at + 1
            continue
        indent = min(at - begin, 62)
        content = np.uint64(0xCBF29CE484222325)
        while at < size and data[at] != 10:
            content = (content ^ np.uint64(data[at])) * np.uint64(0x100000001B3)
            at += 1
        if begin > 0:
            positions[count] = begin
            priorities[count] = _priority((64 if blank_before else 0) + 62 - indent, content, begin)
            count += 1
        blank_before = False
        begin = at + 1
    return _ends(positions, priorities, count, size, max_bytes)


@jit
def _kind_of_byte(byte: int) -> int:
    """0 white space, 1 letter or digit, 2 other ASCII, 3 part of a longer character."""
    if byte >= 128:
        return 3
    if byte <= 32:
        return 0
    if 48 <= byte <= 57 or 65 <= byte <= 90 or 97 <= byte <= 122 or byte == 95:
        return 1
    return 2


@jit
def _borders_at_words(data: NDArray[np.uint8], max_bytes: int) -> NDArray[np.int64]:
    """Ends among the starts of all characters: best at word starts, then where kinds change."""
    positions = np.empty(len(data), dtype=np.int64)
    priorities = np.empty(len(data), dtype=np.uint64)
    count = 0
    content = np.uint64(0)
    for at in range(1, len(data)):
        content = (content << np.uint64(8)) | np.uint64(data[at - 1])
        if data[at] & 0xC0 == 0x80:
            continue
        before, here = _kind_of_byte(data[at - 1]), _kind_of_byte(data[at])
        strength = 0
        if before == 0 and here != 0:
            strength = 2
        elif before != here:
            strength = 1
        if before == 3 and content & np.uint64(0xFFFFFF) in (0xE38081, 0xE38082, 0xEFBC8C):
            strength = 2  # after an ideographic comma or full stop
        positions[count] = at
        priorities[count] = _priority(strength, content * np.uint64(0x9E3779B97F4A7C15), at)
        count += 1
    return _ends(positions, priorities, count, len(data), max_bytes)


@jit
def _ends(
    positions: NDArray[np.int64], priorities: NDArray[np.uint64], count: int, size: int, max_bytes: int
) -> NDArray[np.int64]:
    """The ends that the rule of the module's docstring gives, the last being ``size``."""
    right = np.empty(count, dtype=np.int64)
    stack = np.empty(count, dtype=np.int64)
    top = 0
    for number in range(count):
        while top > 0 and priorities[stack[top - 1]] < priorities[number]:
            top -= 1
            right[stack[top]] = positions[number]
        stack[top] = number
        top += 1
    while top > 0:
        top -= 1
        right[stack[top]] = size
    found = 0
    ends = np.empty(count + 1, dtype=np.int64)
    for number in range(count):
        while top > 0 and priorities[stack[top - 1]] < priorities[number]:
            top -= 1
        left = positions[stack[top - 1]] if top > 0 else 0
        stack[top] = number
        top += 1
        if right[number] - left > max_bytes:
            ends[found] = positions[number]
            found += 1
    ends[found] = size
    return ends[: found + 1].copy()


@jit
def _cut_long(data: NDArray[np.uint8], ends: NDArray[np.int64], max_bytes: int) -> NDArray[np.int64]:
    """Cut the segments that are too long: between words or characters, by the same rule, else at a fixed size."""
    # One segment per byte of these at the very worst; pages that stay untouched take no memory.
    room = len(ends)
    begin = np.int64(0)
    for end in ends:
        room += end - begin if end - begin > max_bytes else 0
        begin = end
    if room == len(ends):
        return ends
    cut = np.empty(room, dtype=np.int64)
    count = 0
    begin = np.int64(0)
    for end in ends:
        while end - begin > max_bytes:
            stretch = begin
            stop = min(begin + _STRETCH, end)
            for border in _borders_at_words(data[stretch:stop], max_bytes):
                while begin < stretch + border:
                    begin = min(begin + max_bytes, stretch + border)
                    cut[count] = begin
                    count += 1
        if begin < end:
            cut[count] = end
            count += 1
            begin = end
    return cut[:count].copy()
