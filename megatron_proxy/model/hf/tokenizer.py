"""``tokenizer.json``: every byte is a token, with the id it had in training, and ``<raw>`` stands in front.

A byte-level tokenizer writes the 256 bytes as 256 printable characters, the same for all such tokenizers since GPT-2.
With no merges each of them is a token of its own.
"""

from __future__ import annotations

import json
from typing import Any, Final

from ...common.characters import byte_characters
from ...vocab import BYTE_OFFSET, EOS, NUM_SPECIALS, PAD, RAW_CLOSE, RAW_OPEN, UNK, name


def vocabulary() -> dict[str, int]:
    """Token → id: the specials and the bytes."""
    specials = {name(id_): id_ for id_ in range(NUM_SPECIALS)}
    return specials | {character: BYTE_OFFSET + byte for byte, character in enumerate(byte_characters())}


def tokenizer_json(*, sentinels: bool) -> str:
    """The file's content."""
    first = RAW_OPEN if sentinels else EOS
    sequence = [{"SpecialToken": {"id": name(first), "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    content: dict[str, Any] = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_special(id_) for id_ in range(NUM_SPECIALS)],
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": sequence,
            "pair": [*sequence, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {name(first): {"id": name(first), "ids": [first], "tokens": [name(first)]}},
        },
        "decoder": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": vocabulary(),
            "merges": [],
        },
    }
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


def _special(id_: int) -> dict[str, Any]:
    flags: Final = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {"id": id_, "content": name(id_), **flags}


def tokenizer_config(context: int, *, sentinels: bool) -> dict[str, Any]:
    """``tokenizer_config.json``.

    Text that merely looks like a special (``<raw>`` in a document about this package) is read as its bytes. Batches are
    padded on the left: what a model writes must follow the prompt, not its padding. What the model takes is said:
    release 4 of transformers would otherwise make token_type_ids too, which a Llama refuses.
    """
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": name(RAW_OPEN if sentinels else EOS),
        "eos_token": name(RAW_CLOSE if sentinels else EOS),
        "pad_token": name(PAD),
        "unk_token": name(UNK),
        "padding_side": "left",
        "model_input_names": ["input_ids", "attention_mask"],
        "model_max_length": context,
        "clean_up_tokenization_spaces": False,
        "split_special_tokens": True,
    }
