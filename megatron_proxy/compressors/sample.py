"""A bounded, deterministic sample of a corpus to learn from."""

from __future__ import annotations

import heapq

import numpy as np

from ..common import rng
from ..common.rng import Purpose
from .base import Corpus

# Draws are made for this many documents at a time.
_BLOCK = 4_096


def sample(corpus: Corpus, max_bytes: int) -> list[bytes]:
    """Documents of ``corpus`` with at most ``max_bytes`` bytes in all, in the order of the corpus.

    Each document has a random number of its own; those with the smallest numbers are taken while they fit, so the
    sample is spread evenly over the corpus and the same on every machine. A document is taken to an eighth of
    ``max_bytes`` at most. Reads the whole corpus once and holds no more than the sample and one document.
    """
    # A heap with the largest number first: (-number, place, content).
    kept: list[tuple[float, int, bytes]] = []
    total = 0
    numbers: list[float] = []
    stream = rng.key(0, Purpose.CORPUS_SAMPLE)
    for place, document in enumerate(corpus()):
        if place % _BLOCK == 0:
            numbers = rng.uniform(stream, np.arange(place, place + _BLOCK)).tolist()
        content = document[: max(1, max_bytes // 8)]
        heapq.heappush(kept, (-numbers[place % _BLOCK], place, content))
        total += len(content)
        while total > max_bytes:
            total -= len(heapq.heappop(kept)[2])
    return [content for _, _, content in sorted(kept, key=lambda entry: entry[1])]
