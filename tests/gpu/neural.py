"""The compressor ``neural``: its language model trained on the GPU, and compiled."""

from __future__ import annotations

import json
from collections.abc import Iterator

from settings import Settings

# isort: split
from harness import Row

from megatron_proxy.compressors.strings.neural import NeuralCompressor


def compressor(settings: Settings) -> Iterator[Row]:
    """A model of its own in each prediction, with no counts in it; then text that it has not seen, there and back."""
    lines = (settings.data / "corpus.jsonl").read_text().splitlines()
    documents = [json.loads(line)["text"].encode() for line in lines]
    held_out, learnt = documents[:2], documents[2:]
    small = {"size": 32, "steps": 30, "symbols": 500} if settings.cpu else {"size": 256, "steps": 400, "symbols": 8000}
    options = NeuralCompressor.all_options(small | {"counts": 0.0, "device": settings.device})
    made = NeuralCompressor.build(options, lambda: iter(learnt))
    codes = [made.encode(document) for document in held_out]
    differ = sum(made.decode(one) != document for one, document in zip(codes, held_out, strict=True))
    yield Row("documents that neural gives back changed", differ, "", goal="<= 0")
    share = sum(map(len, codes)) / sum(map(len, held_out))
    yield Row("codes of neural per byte, held out", share, "", goal=None if settings.cpu else "<= 0.6")
