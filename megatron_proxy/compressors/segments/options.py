"""Segmenters of compressors: learnt, stored and restored; and samples of a corpus cut into segments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from ...errors import CompressorError
from .. import checks
from ..base import Corpus
from ..sample import sample
from . import punkt
from .punkt import Punkt
from .segmenter import Kind, Segmenter

PUNKT_FILE: Final = "punkt.json"
_PUNKT_SAMPLE_BYTES: Final = 4 << 20


def learnt_segmenter(kind: Kind, max_bytes: int, corpus: Corpus) -> Segmenter:
    """A segmenter that learns from the corpus what it needs."""
    model = Punkt(punkt.train(sample(corpus, _PUNKT_SAMPLE_BYTES))) if kind is Kind.SENTENCES else None
    return Segmenter(kind, max_bytes, model)


def restore_segmenter(settings: Mapping[str, Any], files: Mapping[str, bytes]) -> Segmenter:
    """The segmenter that its settings and the compressor's files describe."""
    model = Punkt(checks.file(files, PUNKT_FILE)) if settings.get("kind") == Kind.SENTENCES else None
    return Segmenter.from_config(settings, model)


def segmenter_files(segmenter: Segmenter) -> dict[str, bytes]:
    """The files that a segmenter needs."""
    return {PUNKT_FILE: segmenter.punkt.parameters} if segmenter.punkt else {}


def cut(segmenter: Segmenter, documents: Iterable[bytes]) -> list[bytes]:
    """All segments of ``documents``."""
    segments: list[bytes] = []
    for document in documents:
        begin = 0
        for end in segmenter.ends(document).tolist():
            segments.append(document[begin:end])
            begin = end
    return segments


def check_borders(segmenter: Segmenter, document: bytes, ends: list[int]) -> None:
    """Refuse a decoded document whose segments are not those that ``segmenter`` cuts.

    Raises
    ------
    CompressorError
    """
    if segmenter.ends(document).tolist() != ends:
        raise CompressorError("these codes' segments are not where this compressor cuts the document")
