"""Documents from JSONL files, plain or compressed; what counts as a document is told in :mod:`.files`."""

from .files import DEFAULT_KEY, Bad, CorpusFile, bad_line, chunks, documents, expand, read_chunk
from .texts import Joined, read_joined

__all__ = [
    "DEFAULT_KEY",
    "Bad",
    "CorpusFile",
    "Joined",
    "bad_line",
    "chunks",
    "documents",
    "expand",
    "read_chunk",
    "read_joined",
]
