"""A Hugging Face tokenizer.json, by the ``tokenizers`` package.

The tokenizer's ids without special tokens. Byte-level tokenizers (GPT-2's kind) and those with byte fallback (Llama's
kind) represent nearly everything; what a normaliser changes goes through literally. What draws at random while it
encodes (BPE dropout, sampling of unigrams) is turned off: the same bytes have the same codes.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Self, override

import numpy as np
import tokenizers
from numpy.typing import NDArray

from ...common.characters import byte_characters
from ...errors import CompressorError
from ...vocab import NUM_BYTES
from .. import checks
from ..base import Corpus
from ..options import Setting
from .token_strings import literals
from .tokens import TokenCompressor, TokenOptions
from .word_cache import Borders, borders_of

# Views are prepared by as many processes as there are cores: threads in each of them would only get in the way.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

_SPACE: Final = "\u2581"
_BYTE_OF: Final = {character: byte for byte, character in enumerate(byte_characters())}
_BYTE_PIECE: Final = re.compile("<0x([0-9A-F]{2})>")
# Settings of a model (BPE's, Unigram's) that make it draw at random.
_DRAWING: Final = ("dropout", "alpha", "nbest_size")


@dataclass(frozen=True)
class HfOptions(TokenOptions):
    """See :class:`HfCompressor`."""

    model: Annotated[str, Setting("the tokenizer.json (needed)")] = ""


class HfCompressor(TokenCompressor):
    """A tokenizer.json, by its content."""

    name = "hf"
    options = HfOptions.flags()
    settings_class = HfOptions
    file_name = "tokenizer.json"

    def __init__(self, model: bytes, symbols: str = "ids", split: str = "none") -> None:
        try:
            settled = without_drawing(model)[0]
            self._tokenizer = tokenizers.Tokenizer.from_str(settled.decode("utf-8"))
            self._tokenizer.no_truncation()
            self._tokenizer.no_padding()
            content = json.loads(settled)
            tokens, code_of_id = _tokens(self._tokenizer, content)
            self._added = tuple(token["content"] for token in content.get("added_tokens") or ())
            borders = _borders(content)
        except CompressorError:
            raise
        except Exception as error:  # the package raises plain Exception
            raise CompressorError(f"the tokenizers package cannot load this tokenizer.json: {error}") from error
        super().__init__(model, HfOptions(symbols, split), tokens, code_of_id, borders)

    @classmethod
    @override
    def build(cls, options: Mapping[str, Any], corpus: Corpus) -> Self:
        settings = HfOptions.given(options, cls.name)
        if not settings.model:
            raise CompressorError("this compressor needs a tokenizer.json", where=f"--{cls.name}-model")
        built = cls.from_file(settings.model, "model", settings)
        built.content, drawing = without_drawing(built.content)
        for setting, value in drawing.items():
            what = f"{cls.name}: {settings.model} asks for {setting} {value}, which is turned off"
            print(f"{what}: the same bytes must have the same codes", file=sys.stderr)
        return built

    @override
    def _by_words(self, text: str) -> bool:
        # Added tokens are sought before a text is split, so they may hold together what is cut here.
        return not any(token in text for token in self._added)

    @override
    def _ids_of(self, texts: list[str]) -> list[list[int]]:
        with checks.panics("tokenizers"):
            found = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return [encoding.ids for encoding in found]

    @override
    def _where_exact(self, text: str) -> Iterator[NDArray[np.int32]]:
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        at = 0
        for id_, (begin, end) in zip(encoding.ids, encoding.offsets, strict=True):
            code = self.code_of_id[id_ : id_ + 1]
            content = self.strings.bytes_of(code)
            if end <= at or content not in (text[at:end].encode("utf-8"), text[begin:end].encode("utf-8")):
                continue
            if begin > at and content == text[begin:end].encode("utf-8"):
                yield literals(text[at:begin].encode("utf-8"))
            yield code
            at = end
        yield literals(text[at:].encode("utf-8"))


def without_drawing(model: bytes) -> tuple[bytes, dict[str, Any]]:
    """A tokenizer.json in which nothing draws at random, and the settings that were taken out, with their values.

    One that has none is given back as it is; so is what is no tokenizer.json.
    """
    try:
        content = json.loads(model)
        settings = content["model"]
        drawing = {name: settings[name] for name in _DRAWING if settings.get(name)}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return model, {}
    if not drawing:
        return model, {}
    settings |= dict.fromkeys(drawing)
    return json.dumps(content, ensure_ascii=False).encode(), drawing


def _tokens(tokenizer: tokenizers.Tokenizer, content: dict[str, Any]) -> tuple[list[bytes], NDArray[np.int32]]:
    """The bytes of each token by id, and the code of each id (byte pieces are literals)."""
    special = {token["id"] for token in content.get("added_tokens", ()) if token.get("special")}
    added = {token["id"] for token in content.get("added_tokens", ())}
    steps = [content.get("pre_tokenizer"), content.get("normalizer"), content.get("decoder")]
    parts = json.dumps(steps, ensure_ascii=False)
    byte_level = '"ByteLevel"' in parts
    spaces = _SPACE in parts or '"Metaspace"' in parts
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    size = max(vocabulary.values(), default=-1) + 1
    if size > 1 << 24:
        raise CompressorError(f"a tokenizer with {size} ids")
    tokens = [b""] * size
    codes = np.arange(size, dtype=np.int32) + NUM_BYTES
    for text, id_ in vocabulary.items():
        if (byte := _BYTE_PIECE.fullmatch(text)) and not byte_level:
            codes[id_] = int(byte[1], 16)
        elif id_ not in special:
            tokens[id_] = _bytes(text, byte_level and id_ not in added, spaces)
    return tokens, codes


def _borders(content: dict[str, Any]) -> Borders | None:
    """Where texts can be cut without changing their tokens; None if that is not known of this tokenizer.json."""
    model = content.get("model") or {}
    steps = content.get("pre_tokenizer") or {}
    steps = steps.get("pretokenizers") if steps.get("type") == "Sequence" else [steps]
    if content.get("normalizer") or model.get("type") != "BPE":
        return None
    if not steps or steps[-1].get("type") != "ByteLevel" or steps[-1].get("add_prefix_space"):
        return None
    uses_pattern = steps[-1].get("use_regex", True)
    if len(steps) == 1:
        return Borders.GPT2 if uses_pattern else None
    split = {"type": "Split", "behavior": "Isolated", "invert": False}
    if len(steps) > 2 or uses_pattern or any(steps[0].get(key) != value for key, value in split.items()):
        return None
    return borders_of(steps[0].get("pattern", {}).get("Regex", ""))


def _bytes(token: str, byte_level: bool, spaces: bool) -> bytes:
    """The bytes that a token's text stands for."""
    if byte_level and all(character in _BYTE_OF for character in token):
        return bytes(_BYTE_OF[character] for character in token)
    return (token.replace(_SPACE, " ") if spaces else token).encode("utf-8", "surrogatepass")
