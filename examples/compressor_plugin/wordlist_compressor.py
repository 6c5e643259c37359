"""A compressor of one's own: frequent words as symbols, everything else as literal bytes.

What a compressor promises is written in ``megatron_proxy/compressors/base.py``; this is about the shortest that keeps
it. Install it beside megatron_proxy, and prepare a corpus with it:

    pip install --no-deps examples/compressor_plugin
    megatron-proxy prepare --input corpus.jsonl --output-prefix data/corpus --compressor wordlist --wordlist-words 4096
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from megatron_proxy.compressors.base import NUM_BYTES, Compressor, Corpus, Option
from megatron_proxy.errors import CompressorError

WORD = re.compile(rb"[A-Za-z_]{2,}")
"""What may become a symbol. Bytes, not text: so a document needs not be UTF-8."""


class WordlistCompressor(Compressor):
    """The most frequent words of the corpus, with one symbol each.

    Parameters
    ----------
    words
        The words, by symbol.
    """

    name = "wordlist"
    # A code below 256 is a literal byte, and 256 + s is symbol s.
    literals = True
    options: ClassVar[tuple[Option, ...]] = (Option("words", int, 1_024, "number of words"),)

    def __init__(self, words: list[bytes]) -> None:
        self._words = words
        self._symbols = {word: symbol for symbol, word in enumerate(words)}

    @classmethod
    def build(cls, options: Mapping[str, Any], corpus: Corpus) -> Self:
        """Count the words of the corpus. Ties go by alphabet: the same corpus must give the same symbols."""
        if options["words"] < 1:
            raise CompressorError(f"{options['words']} words", where="--wordlist-words", fix="give at least 1")
        counts = Counter(word for document in corpus() for word in WORD.findall(document))
        ranked = sorted(counts, key=lambda word: (-counts[word] * (len(word) - 1), word))
        return cls(ranked[: options["words"]])

    @classmethod
    def from_config(cls, config: Mapping[str, Any], files: Mapping[str, bytes]) -> Self:
        """From what :meth:`files` gave."""
        if "words.txt" not in files:
            raise CompressorError("the file words.txt is missing")
        return cls(files["words.txt"].split())

    def config(self) -> dict[str, Any]:
        """Nothing but the words decides the codes."""
        return {}

    def files(self) -> dict[str, bytes]:
        """The words, one a line; stored beside the view, with a checksum in the manifest."""
        return {"words.txt": b"".join(word + b"\n" for word in self._words)}

    @property
    def num_symbols(self) -> int:
        """One symbol a word."""
        return len(self._words)

    def encode(self, document: bytes) -> NDArray[Any]:
        """Words of the list as their symbols, every other byte as a literal."""
        codes: list[int] = []
        done = 0
        for found in WORD.finditer(document):
            symbol = self._symbols.get(found.group())
            if symbol is not None:
                codes.extend(document[done : found.start()])
                codes.append(NUM_BYTES + symbol)
                done = found.end()
        codes.extend(document[done:])
        return np.array(codes, dtype=self.vocabulary.code_dtype)

    def decode(self, codes: NDArray[Any]) -> bytes:
        """Each code is a byte or a word."""
        parts = []
        for code in codes.tolist():
            if not 0 <= code < self.vocabulary.num_codes:
                raise CompressorError(f"there is no code {code}")
            parts.append(bytes([code]) if code < NUM_BYTES else self._words[code - NUM_BYTES])
        return b"".join(parts)

    def symbol_bytes(self) -> NDArray[np.int32]:
        """A symbol stands for its word wherever it is, so training can count bytes exactly."""
        return np.array([len(word) for word in self._words], dtype=np.int32)
