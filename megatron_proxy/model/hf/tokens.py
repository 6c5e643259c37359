"""The tokens of a model with a tokenizer, as ids of a proxy checkpoint.

Token ``t`` is symbol ``t``, as the compressor ``hf`` numbers its codes. The pieces ``<0xNN>`` of a tokenizer with byte
fallback are codes of literal bytes there, which share the ids of raw bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from ...compressors import Compressor
from ...errors import CheckpointError, ConfigurationError, UnsupportedError
from ...vocab import BYTE_OFFSET, NUM_BYTES, SYMBOL_OFFSET
from .folder import TOKENIZER, read_json

COMPRESSOR: Final = "hf"
_PIECE: Final = re.compile(r"<0x([0-9A-F]{2})>")
_TOKENIZER_CONFIG: Final = "tokenizer_config.json"
# What decides which tokens a text becomes.
_DECIDING: Final = ("model", "normalizer", "pre_tokenizer", "added_tokens")


@dataclass(frozen=True)
class Tokens:
    """What the tokens of a tokenizer stand for.

    Parameters
    ----------
    ids
        int64, shape (tokens,): the id of each token in a checkpoint.
    single
        int64, shape (256,): the token that stands for each byte alone; -1 where there is none.
    first
        int64, shape (tokens,): the first byte of what each token stands for; -1 where that is nothing.
    """

    ids: NDArray[np.int64]
    single: NDArray[np.int64]
    first: NDArray[np.int64]

    @classmethod
    def of(cls, compressor: Compressor) -> Self:
        """The tokens of the compressor ``hf``."""
        sizes = compressor.symbol_bytes()
        if compressor.name != COMPRESSOR or sizes is None:
            raise ConfigurationError(
                "the model's own tokens must be the symbols of this view, as ids",
                where=f"--compressor {compressor.name}",
                fix=f"prepare it by the model's tokenizer: --compressor {COMPRESSOR} --hf-model {TOKENIZER}",
            )
        spoken = np.flatnonzero(sizes)
        content = np.frombuffer(compressor.decode(spoken.astype(np.int32) + NUM_BYTES), dtype=np.uint8)
        first = np.full(len(sizes), -1, dtype=np.int64)
        first[spoken] = content[np.cumsum(sizes[spoken]) - sizes[spoken]]
        single = np.full(NUM_BYTES, -1, dtype=np.int64)
        alone = np.flatnonzero(sizes == 1)[::-1]
        single[first[alone]] = alone
        ids = np.arange(len(sizes), dtype=np.int64) + SYMBOL_OFFSET
        for token, byte in _pieces(compressor.files()[TOKENIZER]).items():
            # Where another token stands for the byte, the tokenizer writes that one.
            if not sizes[token] and single[byte] < 0:
                single[byte], ids[token] = token, BYTE_OFFSET + byte
        return cls(ids, single, first)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def has_pieces(self) -> bool:
        """Whether some tokens are literal bytes: the tokenizer falls back on bytes."""
        return bool((self.ids < SYMBOL_OFFSET).any())


def _pieces(tokenizer: bytes) -> dict[int, int]:
    """Token → byte of the pieces ``<0xNN>`` of a tokenizer.json."""
    vocabulary = json.loads(tokenizer)["model"]["vocab"]
    # Unigram has a list of pairs, BPE a mapping.
    pairs = vocabulary.items() if isinstance(vocabulary, dict) else ((one[0], at) for at, one in enumerate(vocabulary))
    return {int(token): int(match[1], 16) for text, token in pairs if (match := _PIECE.fullmatch(text))}


@dataclass(frozen=True)
class Special:
    """The tokens that open and close a text for a model over tokens, and pad a batch; None where there is none."""

    opens: int | None
    closes: int | None
    pads: int | None

    @classmethod
    def of(cls, config: Mapping[str, Any], tokens: int) -> Self:
        """What ``config.json`` says; where one of opening and closing is not told, it is the other.

        Raises
        ------
        CheckpointError
            For what is no token.
        """
        opens, closes, pads = (_token(config, f"{kind}_token_id", tokens) for kind in ("bos", "eos", "pad"))
        return cls(closes if opens is None else opens, opens if closes is None else closes, pads)


def _token(config: Mapping[str, Any], key: str, tokens: int) -> int | None:
    given = config.get(key)
    # Chat models have several ends; the first is that of a text.
    value = given[0] if isinstance(given, list) and given else given
    if value is None or value == -1:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < tokens:
        raise CheckpointError(f"{key} is {given!r}, and the tokenizer has {tokens:,} tokens", where="config.json")
    return value


def tokens_of(compressor: Compressor, folder: Path, flag: str) -> Tokens:
    """The tokens of a compressor, which must be the tokenizer of a folder.

    Raises
    ------
    CheckpointError
        A folder without ``tokenizer.json``, or one that cannot be read.
    UnsupportedError
        A tokenizer that asks for code of its own.
    ConfigurationError
        For another compressor than ``hf``; or naming ``flag``, and the part of the tokenizers that differs.
    """
    tokens = Tokens.of(compressor)
    _check_code(folder / _TOKENIZER_CONFIG)
    ours, theirs = _settled(compressor.files()[TOKENIZER]), _settled(_tokenizer_json(folder))
    differing = [part for part in _DECIDING if ours.get(part) != theirs.get(part)]
    if differing:
        raise ConfigurationError(
            f"the view was prepared by another tokenizer than that of {folder}: they differ in {', '.join(differing)}",
            where=flag,
            fix=f"prepare by the model's own: --compressor {COMPRESSOR} --hf-model {folder / TOKENIZER}",
        )
    return tokens


def _check_code(path: Path) -> None:
    if path.is_file() and read_json(path, "take the file from the original model again").get("auto_map"):
        raise UnsupportedError(
            "the tokenizer asks for code of its own (auto_map), which is never run",
            where=str(path),
            fix="if its tokenizer.json is all of it, take auto_map out of the file",
        )


def _tokenizer_json(folder: Path) -> bytes:
    path = folder / TOKENIZER
    read_json(
        path,
        "a model over tokens comes with its tokenizer.json; transformers makes one of older files: "
        "AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)",
    )
    return path.read_bytes()


def _settled(content: bytes) -> dict[str, Any]:
    """A tokenizer.json without what draws, as the installed release of ``tokenizers`` writes it."""
    import tokenizers

    from ...compressors.tokenizers.hf import without_drawing

    try:
        text = without_drawing(content)[0].decode("utf-8")
        settled: dict[str, Any] = json.loads(tokenizers.Tokenizer.from_str(text).to_str())
    except Exception as error:  # the package raises plain Exception
        raise CheckpointError(f"cannot be read by the tokenizers package ({error})", where=TOKENIZER) from error
    return settled
