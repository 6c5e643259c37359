"""The view whose ids an exported model has, with its tokenizer: raw bytes, or the tokens that its symbols are."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

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
from .tokens import Special, tokens_of

_RAW_FORMAT: Final = 1
_COMPRESSED_FORMAT: Final = 2
# What transformers keeps of a tokenizer, and how its model writes.
_TOKENIZER_FILES: Final = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "tokenizer.model"),
    *("vocab.json", "merges.txt", "chat_template.jinja", "chat_template.json", "generation_config.json"),
)


@dataclass(frozen=True)
class ExportedView:
    """Which ids of a checkpoint become those of an exported model, and what a folder says of them.

    Parameters
    ----------
    name
        ``raw`` or ``compressed``.
    read, written
        int64, shape (ids,): the row of the embedding, and of the output layer, that each id has in the checkpoint.
    opener, format
        Which special opens the view, and which format's vector is added to what stands inside it.
    special
        What ``config.json`` says of the ids, ``bos_token_id`` and the like.
    write_tokenizer
        Writes the tokenizer, and how the model writes, into a folder, for a context of so many ids.
    """

    name: str
    read: Tensor
    written: Tensor
    opener: int
    format: int
    special: dict[str, Any]
    write_tokenizer: Callable[[Path, int], None]

    @property
    def size(self) -> int:
        """How many ids there are."""
        return len(self.read)

    @property
    def inside(self) -> Tensor:
        """Which ids stand inside the view, its opener among them: bool, shape (ids,)."""
        return (self.read == self.opener) | (self.read >= BYTE_OFFSET)


def raw_view(sentinels: bool) -> ExportedView:
    """Specials and bytes; ``sentinels`` tells whether raw views stood between sentinels in training."""
    ids = torch.arange(SYMBOL_OFFSET)
    special = {
        "bos_token_id": RAW_OPEN if sentinels else EOS,
        "eos_token_id": [RAW_CLOSE, EOS] if sentinels else EOS,
        "pad_token_id": PAD,
    }

    def write_tokenizer(folder: Path, context: int) -> None:
        ends = (RAW_CLOSE, EOS) if sentinels else (EOS,)
        # As in `megatron-proxy generate`: only bytes are written, and the ends of a document.
        others = [id_ for id_ in range(NUM_SPECIALS) if id_ not in ends]
        generation = {**special, "do_sample": False, "suppress_tokens": others}
        (folder / "generation_config.json").write_bytes(readable_json.file(generation))
        (folder / "tokenizer.json").write_text(tokenizer.tokenizer_json(sentinels=sentinels), encoding="utf-8")
        told = tokenizer.tokenizer_config(context, sentinels=sentinels)
        (folder / "tokenizer_config.json").write_bytes(readable_json.file(told))

    return ExportedView("raw", ids, ids, RAW_OPEN, _RAW_FORMAT, special, write_tokenizer)


def token_view(original: Path, compressor: Compressor, *, sentinels: bool) -> ExportedView:
    """The tokens that the symbols are; what opens and closes a text stands for the sentinels.

    A token that does both is read as what opens a text, and written as what closes it.

    Parameters
    ----------
    original
        The folder of the model with this tokenizer, whose files are copied.
    compressor
        What the checkpoint was trained with: that tokenizer.
    sentinels
        Whether compressed views stood between sentinels in training.

    Raises
    ------
    ProxyError
        For a folder without tokenizer or configuration, or with another tokenizer.
    """
    tokens = tokens_of(compressor, original, f"--original {original}")
    told = read_json(original / CONFIG, "name the folder of the model whose tokens these are")
    ends = Special.of(told, len(tokens))
    places = [(ends.closes, COMPRESSED_CLOSE), (ends.opens, COMPRESSED_OPEN)] if sentinels else [(ends.closes, EOS)]

    def ids(places: Iterable[tuple[int | None, int]]) -> Tensor:
        found = torch.from_numpy(tokens.ids.copy())
        # Where one token is both, the last one counts.
        for token, id_ in places:
            if token is not None:
                found[token] = id_
        return found

    def write_tokenizer(folder: Path, _: int) -> None:
        for name in _TOKENIZER_FILES:
            if (original / name).is_file():
                shutil.copyfile(original / name, folder / name)

    special = {key: told.get(key) for key in ("bos_token_id", "eos_token_id", "pad_token_id")}
    read, written = ids(places), ids(reversed(places))
    return ExportedView("compressed", read, written, COMPRESSED_OPEN, _COMPRESSED_FORMAT, special, write_tokenizer)
