"""Documents from sources of every kind (:mod:`.source`); :mod:`.files` tells what counts as a document of JSONL."""

from .chunk import where
from .files import DEFAULT_KEY, bad_line, chunks, documents, expand, read_chunk
from .source import AS_THEY_ARE, Bad, Chunk, Parsed, Source, Taking, changed
from .texts import Joined, read_joined

__all__ = [
    "AS_THEY_ARE",
    "DEFAULT_KEY",
    "Bad",
    "Chunk",
    "Joined",
    "Parsed",
    "Source",
    "Taking",
    "bad_line",
    "changed",
    "chunks",
    "documents",
    "expand",
    "read_chunk",
    "read_joined",
    "where",
]
