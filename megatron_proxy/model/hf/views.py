"""The view whose ids an exported model has, with its tokenizer: raw bytes, or the tokens that its symbols are."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import torch
from torch import Tensor

from ...common import readable_json
from ...compressors import Compressor
from ...vocab import (
    BYTE_OFFSET,
    COMPRESSED_CLOSE,
    COMPRESSED_OPEN,
    EOS,
    NUM_SPECIALS,
    PAD,
    RAW_CLOSE,
    RAW_OPEN,
    SYMBOL_OFFSET,
)
from . import tokenizer
from .folder import CONFIG, read_json
from .tokens import Special, Tokens, tokens_of

_RAW_FORMAT: Final = 1
_COMPRESSED_FORMAT: Final = 2
# What transformers keeps of a tokenizer, and how its model writes.
_TOKENIZER_FILES: Final = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "tokenizer.model"),
    *("vocab.json", "merges.txt", "chat_template.jinja", "chat_template.json", "generation_config.json"),
)


@dataclass(frozen=True)
class RawView:
    """Which ids of a checkpoint become those of an exported model: specials and bytes.

    Parameters
    ----------
    sentinels
        Whether raw views stood between sentinels in training.
    """

    sentinels: bool
    name = "raw"
    size = SYMBOL_OFFSET

    @property
    def special(self) -> dict[str, Any]:
        """What ``config.json`` says of them, ``bos_token_id`` and the like: the sentinels, or the end of a document."""
        return {
            "bos_token_id": RAW_OPEN if self.sentinels else EOS,
            "eos_token_id": [RAW_CLOSE, EOS] if self.sentinels else EOS,
            "pad_token_id": PAD,
        }

    def one_table(self, table: Callable[[], Tensor]) -> bool:
        """Whether a tied model's table, read by ``table``, is still one for what is read and what is written.

        It is: every id is one token.
        """
        return True

    def in_format(self, words: Tensor, formats: Tensor) -> Tensor:
        """The embedding with the format's vector added to what stands inside the view: ``<raw>`` and the bytes."""
        words = words[:SYMBOL_OFFSET].clone()
        words[RAW_OPEN] += formats[_RAW_FORMAT]
        words[BYTE_OFFSET:] += formats[_RAW_FORMAT]
        return words

    def read(self, table: Tensor) -> Tensor:
        """The rows of the embedding (and of the output layer) that are left."""
        return table[:SYMBOL_OFFSET]

    written = read

    def write_tokenizer(self, folder: Path, context: int) -> None:
        """Write the tokenizer, and how the model writes."""
        ends = self.special["eos_token_id"] if self.sentinels else [EOS]
        # As in `megatron-proxy generate`: only bytes are written, and the ends of a document.
        others = [id_ for id_ in range(NUM_SPECIALS) if id_ not in ends]
        generation = {**self.special, "do_sample": False, "suppress_tokens": others}
        (folder / "generation_config.json").write_bytes(readable_json.file(generation))
        (folder / "tokenizer.json").write_text(tokenizer.tokenizer_json(sentinels=self.sentinels), encoding="utf-8")
        told = tokenizer.tokenizer_config(context, sentinels=self.sentinels)
        (folder / "tokenizer_config.json").write_bytes(readable_json.file(told))


@dataclass(frozen=True)
class TokenView:
    """The same for a model over the tokens that the symbols are; what opens and closes a text stands for the sentinels.

    Parameters
    ----------
    original
        The folder of the model with this tokenizer.
    tokens, told
        What its tokens stand for, and what its configuration says of them.
    sentinels
        Whether compressed views stood between sentinels in training.
    """

    original: Path
    tokens: Tokens
    told: dict[str, Any]
    sentinels: bool
    name = "compressed"

    @classmethod
    def of(cls, original: Path, compressor: Compressor, *, sentinels: bool) -> Self:
        """The view by a tokenizer that is the compressor.

        Raises
        ------
        ProxyError
            For a folder without tokenizer or configuration, or with another tokenizer.
        """
        tokens = tokens_of(compressor, original, f"--original {original}")
        told = read_json(original / CONFIG, "name the folder of the model whose tokens these are")
        return cls(original, tokens, told, sentinels)

    @property
    def size(self) -> int:
        """As many as the tokenizer has."""
        return len(self.tokens)

    @property
    def special(self) -> dict[str, Any]:
        """As in the original."""
        return {key: self.told.get(key) for key in ("bos_token_id", "eos_token_id", "pad_token_id")}

    def _ids(self, *, reading: bool) -> Tensor:
        """The id in the checkpoint of each token."""
        ids, ends = torch.from_numpy(self.tokens.ids.copy()), Special.of(self.told, self.size)
        opens, closes = (COMPRESSED_OPEN, COMPRESSED_CLOSE) if self.sentinels else (None, EOS)
        places = [(ends.closes, closes), (ends.opens, opens)]
        # Where one token is both, the last one counts.
        for token, id_ in places if reading else reversed(places):
            if token is not None and id_ is not None:
                ids[token] = id_
        return ids

    def one_table(self, table: Callable[[], Tensor]) -> bool:
        """One token may both open and close texts: what was learned of the two is kept apart if they differ."""
        read, written = self._ids(reading=True), self._ids(reading=False)
        differing = torch.nonzero(read != written)[:, 0]
        if not len(differing):
            return True
        rows = table()
        return torch.equal(rows[read[differing]], rows[written[differing]])

    def in_format(self, words: Tensor, formats: Tensor) -> Tensor:
        """``<compressed>``, the tokens and the bytes among them stand inside a compressed view."""
        words = words.clone()
        words[COMPRESSED_OPEN] += formats[_COMPRESSED_FORMAT]
        words[BYTE_OFFSET:] += formats[_COMPRESSED_FORMAT]
        return words

    def read(self, table: Tensor) -> Tensor:
        """A token that both opens and closes a text is read as what opens it."""
        return table[self._ids(reading=True)]

    def written(self, table: Tensor) -> Tensor:
        """A token that both opens and closes a text is written as what closes it."""
        return table[self._ids(reading=False)]

    def write_tokenizer(self, folder: Path, context: int) -> None:
        """The original's files."""
        for name in _TOKENIZER_FILES:
            if (self.original / name).is_file():
                shutil.copyfile(self.original / name, folder / name)


View = RawView | TokenView
