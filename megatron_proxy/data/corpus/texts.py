"""The documents of a chunk end to end, as they are stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .chunk import Stretch
from .files import read_chunk
from .source import Bad, Chunk


@dataclass(frozen=True)
class Joined:
    """What a chunk holds: as in :class:`.source.Parsed`, but for the documents.

    ``texts`` are for each key the bytes of all documents one after the other, and the length of each (int32).
    ``stretch`` is the chunk itself, if its lines have to be counted to tell where they are.
    """

    disk_bytes: int
    stretch: Stretch | None
    lines: int
    texts: list[tuple[bytes, NDArray[np.int32]]]
    bad: list[Bad]
    left_out: Mapping[str, int]

    def first(self, count: int) -> Joined:
        """The same with the first ``count`` documents only, and the bad lines among them."""
        if count >= len(self.texts[0][1]):
            return self
        texts = [(units[: int(lengths[:count].sum())], lengths[:count]) for units, lengths in self.texts]
        return replace(self, texts=texts, bad=[bad for bad in self.bad if bad.documents_before < count])


def read_joined(keys: Sequence[str], chunk: Chunk) -> Joined:
    """The same documents as :func:`.files.read_chunk` gives, end to end."""
    parsed = read_chunk(chunk, keys)
    texts: list[tuple[bytes, NDArray[np.int32]]] = []
    for documents in parsed.documents:
        lengths = np.fromiter(map(len, documents), dtype=np.int32, count=len(documents))
        texts.append((b"".join(documents), lengths))
        # The joined bytes take their place: a document of 100 MB should not be held twice.
        documents.clear()
    stretch = chunk if isinstance(chunk, Stretch) else None
    return Joined(chunk.disk_bytes, stretch, parsed.lines, texts, parsed.bad, parsed.left_out)
