"""tiktoken: mergeable ranks from a file, as OpenAI publishes them (base64 of a token, a space, its rank).

Byte-pair encoding over bytes, so every text is exact; only bytes that are not UTF-8 go through literally.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Self, override

import numpy as np
import tiktoken

from ...errors import CompressorError
from ...vocab import NUM_BYTES
from .. import checks
from ..base import Corpus
from ..options import Setting
from .tokens import TokenCompressor, TokenOptions
from .word_cache import PATTERNS, borders_of


@dataclass(frozen=True)
class TiktokenOptions(TokenOptions):
    """See :class:`TiktokenCompressor`."""

    ranks: Annotated[str, Setting("the file of mergeable ranks (needed)")] = ""
    pattern: Annotated[
        str, Setting(f"how texts are split: {', '.join(PATTERNS)}, or a regular expression", stored=True)
    ] = "cl100k"


class TiktokenCompressor(TokenCompressor):
    """Mergeable ranks, by their file's content, with a splitting pattern: one of :data:`PATTERNS` or another."""

    name = "tiktoken"
    options = TiktokenOptions.flags()
    settings_class = TiktokenOptions
    file_name = "ranks.tiktoken"

    def __init__(self, ranks: bytes, pattern: str = "cl100k", symbols: str = "ids", split: str = "none") -> None:
        by_token = _read_ranks(ranks)
        tokens = [b""] * (max(by_token.values()) + 1)
        for token, rank in by_token.items():
            tokens[rank] = token
        expression = PATTERNS.get(pattern, pattern)
        settings = TiktokenOptions(symbols, split, pattern=pattern)
        code_of_id = np.arange(NUM_BYTES, NUM_BYTES + len(tokens), dtype=np.int32)
        super().__init__(ranks, settings, tokens, code_of_id, borders_of(expression))
        try:
            self._encoding = tiktoken.Encoding(
                self.name, pat_str=expression, mergeable_ranks=by_token, special_tokens={}
            )
        except Exception as error:  # the package raises what its parts raise
            raise CompressorError(f"tiktoken refuses these ranks or this pattern: {error}") from error

    @classmethod
    @override
    def build(cls, options: Mapping[str, Any], corpus: Corpus) -> Self:
        settings = TiktokenOptions.given(options, cls.name)
        if not settings.ranks:
            raise CompressorError("this compressor needs a file of mergeable ranks", where=f"--{cls.name}-ranks")
        return cls.from_file(settings.ranks, "ranks", settings)

    @override
    def _ids_of(self, texts: list[str]) -> list[list[int]]:
        with checks.panics("tiktoken"):
            return list(map(self._encoding.encode_ordinary, texts))


def _read_ranks(content: bytes) -> dict[bytes, int]:
    """Token → rank of a ranks file."""
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
