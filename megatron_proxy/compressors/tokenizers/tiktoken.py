"""tiktoken: mergeable ranks from a file, as OpenAI publishes them (base64 of a token, a space, its rank).

Byte-pair encoding over bytes, so every text is exact; only bytes that are not UTF-8 go through literally.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, Self, override

import numpy as np
import tiktoken
from numpy.typing import NDArray

from ...errors import CompressorError
from ...vocab import NUM_BYTES
from .. import checks
from ..base import Corpus, Option
from .tokens import SPLIT_OPTION, SPLITS, SYMBOLS, SYMBOLS_OPTION, TokenCompressor, literals
from .word_cache import PATTERNS, WordEncoder, borders_of

RANKS_FILE: Final = "ranks.tiktoken"


class TiktokenCompressor(TokenCompressor):
    """Mergeable ranks with a splitting pattern.

    Parameters
    ----------
    ranks
        Content of the ranks file.
    pattern
        One of :data:`PATTERNS`, or a regular expression.
    symbols
        How a token is written: ``ids``, ``bytes`` or ``gray``.
    split
        ``lines`` to encode spans of lines on their own, ``none`` to leave documents whole.
    """

    name = "tiktoken"
    options: ClassVar[tuple[Option, ...]] = (
        Option("ranks", str, "", "the file of mergeable ranks (needed)"),
        Option("pattern", str, "cl100k", f"how texts are split: {', '.join(PATTERNS)}, or a regular expression"),
        SYMBOLS_OPTION,
        SPLIT_OPTION,
    )

    def __init__(self, ranks: bytes, pattern: str = "cl100k", symbols: str = "ids", split: str = "none") -> None:
        self.ranks = ranks
        self.pattern = pattern
        by_token = _read_ranks(ranks)
        tokens = [b""] * (max(by_token.values()) + 1)
        for token, rank in by_token.items():
            tokens[rank] = token
        super().__init__(tokens, symbols)
        try:
            self._encoding = tiktoken.Encoding(
                self.name, pat_str=PATTERNS.get(pattern, pattern), mergeable_ranks=by_token, special_tokens={}
            )
        except Exception as error:  # the package raises what its parts raise
            raise CompressorError(f"tiktoken refuses these ranks or this pattern: {error}") from error
        self._code_of_id = np.arange(NUM_BYTES, NUM_BYTES + len(tokens), dtype=np.int32)
        borders = borders_of(PATTERNS.get(pattern, pattern))
        self._words = None if borders is None else WordEncoder(self._encode_words, borders)
        self.split = self.spans = split == "lines"
        self.no_spans_because = f"this tokenizer looks across line ends; prepare with --{self.name}-split lines"

    @classmethod
    @override
    def build(cls, options: Mapping[str, Any], corpus: Corpus) -> Self:
        symbols = checks.choice(options, cls.name, "symbols", SYMBOLS)
        split = checks.choice(options, cls.name, "split", SPLITS)
        if not options["ranks"]:
            raise CompressorError("this compressor needs a file of mergeable ranks", where=f"--{cls.name}-ranks")
        ranks = checks.read(Path(options["ranks"]), f"--{cls.name}-ranks")
        with checks.named(options["ranks"], f"--{cls.name}-ranks"):
            return cls(ranks, options["pattern"], symbols, split)

    @classmethod
    @override
    def from_config(cls, config: Mapping[str, Any], files: Mapping[str, bytes]) -> Self:
        return cls(
            checks.file(files, RANKS_FILE),
            checks.entry(config, "pattern", str),
            checks.choice(config, cls.name, "symbols", SYMBOLS),
            checks.choice(config, cls.name, "split", SPLITS),
        )

    @override
    def config(self) -> dict[str, Any]:
        return {"pattern": self.pattern, "symbols": self.symbols, "split": "lines" if self.split else "none"}

    @override
    def files(self) -> dict[str, bytes]:
        return {RANKS_FILE: self.ranks}

    @override
    def _encode_texts(self, texts: list[str]) -> Sequence[NDArray[np.int32]]:
        return [self._encode_text(text) for text in texts]

    def _encode_text(self, text: str) -> NDArray[np.int32]:
        content = text.encode("utf-8")
        if self._words is not None and self._words.takes(content):
            return self._words.encode(content)
        with checks.panics("tiktoken"):
            codes = self._encoding.encode_to_numpy(text, disallowed_special=()).astype(np.int32) + NUM_BYTES
        return self._exactly(text, codes)

    def _encode_words(self, words: list[str]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """The codes of all words in a row, and where those of each word end."""
        with checks.panics("tiktoken"):
            ids = list(map(self._encoding.encode_ordinary, words))
        return self._in_a_row(words, ids, self._code_of_id, self._exactly)

    def _exactly(self, text: str, codes: NDArray[np.int32]) -> NDArray[np.int32]:
        """``codes`` if they stand for ``text``; all literal if the pattern leaves something out."""
        content = text.encode("utf-8")
        return codes if self._bytes_of(codes) == content else literals(content)


def _read_ranks(content: bytes) -> dict[bytes, int]:
    """Token → rank of a ranks file.

    Raises
    ------
    CompressorError
        Naming the line that is not as it should be.
    """
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(content.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            token, rank = line.split()
            ranks[base64.b64decode(token, validate=True)] = int(rank)
        except (ValueError, binascii.Error) as error:
            raise CompressorError(f"not 'base64 rank': {line[:60]!r}", where=f"ranks file:{number}") from error
    _check_ranks(ranks)
    return ranks


def _check_ranks(ranks: dict[bytes, int]) -> None:
    missing = [byte for byte in range(256) if bytes([byte]) not in ranks]
    if missing:
        raise CompressorError(f"the ranks lack {len(missing)} single bytes, such as {bytes(missing[:1])!r}")
    if b"" in ranks or len(set(ranks.values())) != len(ranks) or min(ranks.values()) < 0:
        raise CompressorError("the ranks hold an empty token, or a rank that is negative or given twice")
    if max(ranks.values()) >= 1 << 24:
        raise CompressorError(f"a rank as high as {max(ranks.values())}")
