"""The file of a tokenizer, as users name it and as workers get it: each process makes the tokenizer once."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from ... import compressors
from ...compressors import checks
from ...compressors.tokenizers.tokens import TokenCompressor
from ...errors import CompressorError, ConfigurationError
from ..corpus.source import changed
from ..prepare.recipe import Recipe

FLAG: Final = "--tokenizer"
_RANK: Final = re.compile(rb"[A-Za-z0-9+/]+={0,2} [0-9]+\r?\n")
_HEAD_BYTES: Final = 4096
_OPTIONS: Final = {"hf": "model", "sentencepiece": "model", "tiktoken": "ranks"}


@dataclass(frozen=True)
class Tokenizer:
    """A tokenizer's file: the compressor that it makes and that one's settings, the path, and the SHA-256 (hex)."""

    name: str
    path: str
    sha256: str
    settings: tuple[tuple[str, Any], ...]

    def compressor(self) -> TokenCompressor:
        """The tokenizer, made once in a process; a CorpusError if the file has changed."""
        return _made(self)


@lru_cache(maxsize=1)
def _made(tokenizer: Tokenizer) -> TokenCompressor:
    content = checks.read(Path(tokenizer.path), FLAG)
    if hashlib.sha256(content).hexdigest() != tokenizer.sha256:
        raise changed(tokenizer.path)
    kind: Any = compressors.get(tokenizer.name)
    made: TokenCompressor = kind(content, **dict(tokenizer.settings))
    return made


def find(path: str, options: Mapping[str, Mapping[str, Any]]) -> tuple[Tokenizer, TokenCompressor]:
    """The tokenizer of a file, and its compressor for the manifest.

    Parameters
    ----------
    path
        A tokenizer.json or a folder with one, a SentencePiece model, or a file of mergeable ranks.
    options
        What was given of compressors' options.

    Raises
    ------
    CompressorError
        If the file cannot be read, or is none of these.
    ConfigurationError
        For options that write tokens in another way than as their ids.
    """
    if os.path.isdir(path):
        path = os.path.join(path, "tokenizer.json")
    content = checks.read(Path(path), FLAG)
    name = _kind_of(content, path)
    given = options.get(name, {})
    option = _OPTIONS[name]
    if option in given:
        raise ConfigurationError("the tokenizer is the one of --tokenizer", where=f"--{name}-{option}")
    made: Any = Recipe(name, {**given, option: path}).checked().made
    for setting, possible in (("symbols", ("ids",)), ("split", ("none", "tokens"))):
        if given.get(setting, possible[0]) not in possible:
            raise ConfigurationError(
                f"{given[setting]!r} cannot be had of ids that are there already",
                where=f"--{name}-{setting}",
                fix="prepare from the text for that",
            )
    settings = tuple(sorted(made.config().items()))
    return Tokenizer(name, path, hashlib.sha256(content).hexdigest(), settings), made


def _kind_of(content: bytes, path: str) -> str:
    """The compressor for a tokenizer's file, by its content."""
    head = content[:_HEAD_BYTES].lstrip()
    if head.startswith(b"{"):
        return "hf"
    if head.startswith(b"["):
        raise CompressorError(
            "is a list of JSON, no tokenizer.json",
            where=f"{FLAG} {path}",
            fix="name a tokenizer.json, a SentencePiece model, or a file of ranks (.tiktoken)",
        )
    return "tiktoken" if _RANK.match(head) else "sentencepiece"
