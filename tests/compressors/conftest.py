"""Small compressors of every kind: the settings that tests build them with, and the corpus that they learn from."""

import base64
import json
from pathlib import Path

import pytest

from megatron_proxy import compressors

FIXTURES = Path(__file__).parents[1] / "fixtures"
TEXT = (FIXTURES / "text.txt").read_bytes()

# The text's lines as documents: what small compressors learn from.
CORPUS = [b"".join(TEXT.splitlines(keepends=True)[i : i + 12]) for i in range(0, 60, 6)] * 4

OPTIONS = {
    "neural": {"symbols": 500, "longest": 8, "size": 8, "context": 8, "steps": 4, "batch": 8},
    "neural-ac": {"bits": 8, "longest": 8, "size": 8, "context": 8, "steps": 4, "batch": 8},
    "sentencepiece": {"vocab-size": 600},
    "trie": {"symbols": 500, "longest": 8},
    "zstd": {"dictionary-bytes": 2_048, "phrases": 64},
}

# Forms with golden codes of their own, as their codes are others than the default form's: (compressor, changes).
FORMS = {
    "zstd-bytes": ("zstd", {"form": "bytes"}),
    "zstd-bytes-sentences": ("zstd", {"form": "bytes", "segment": "sentences"}),
    "zstd-document": ("zstd", {"segment": "document"}),
    "zstd-matches-fixed": ("zstd", {"segment": "fixed", "segment-bytes": 128, "level": 19}),
    "tiktoken-gray": ("tiktoken", {"symbols": "gray", "pattern": "gpt2"}),
    "neural-anywhere": ("neural", {"ends": "anywhere", "candidates": 1.0, "edits": 0.06, "counts": 0.8}),
    "trie-words": ("trie", {"ends": "words", "candidates": 2.5}),
    "hf-bytes": ("hf", {"symbols": "bytes", "split": "lines"}),
}


def byte_level_tokenizer() -> dict:
    """A tokenizer.json of GPT-2's kind over all bytes, with a few merges."""
    from megatron_proxy.compressors.tokenizers.hf import _BYTE_OF

    merges = [("t", "h"), ("th", "e"), ("Ġ", "the"), ("i", "n"), ("Ġ", "Ġ"), ("ĠĠ", "ĠĠ"), ("r", "e"), ("re", "t")]
    vocabulary = dict(_BYTE_OF)
    vocabulary |= {a + b: 256 + i for i, (a, b) in enumerate(merges)}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": None,
        "decoder": byte_level,
        "model": {"type": "BPE", "vocab": vocabulary, "merges": [list(pair) for pair in merges]},
    }


def ranks() -> bytes:
    """A file of mergeable ranks: all bytes and a few longer tokens."""
    tokens = [bytes([byte]) for byte in range(256)] + [b"th", b"the", b" the", b"  ", b"    ", b"in", b"re", b"\n\n"]
    return b"".join(base64.b64encode(token) + b" %d\n" % rank for rank, token in enumerate(tokens))


def build_small(name: str, folder: Path, **changes):
    """The compressor ``name`` with small settings, trained on :data:`CORPUS`."""
    kind = compressors.get(name)
    options = kind.all_options(OPTIONS.get(name, {}))
    if name == "hf":
        (folder / "tokenizer.json").write_text(json.dumps(byte_level_tokenizer()))
        options["model"] = str(folder / "tokenizer.json")
    if name == "tiktoken":
        (folder / "ranks.tiktoken").write_bytes(ranks())
        options["ranks"] = str(folder / "ranks.tiktoken")
    unknown = set(OPTIONS.get(name, {})) - {option.name for option in kind.options}
    if unknown:
        raise ValueError(f"{name} has no options {unknown}")
    return kind.build(options | changes, lambda: iter(CORPUS))


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """``small(name)``: a small compressor, built once."""
    built = {}

    def get(name):
        if name not in built:
            built[name] = build_small(name, tmp_path_factory.mktemp(name))
        return built[name]

    return get


@pytest.fixture
def build(tmp_path):
    """``build(name, **changes)``: a small compressor with other options."""

    def build(name, **changes):
        return build_small(name, tmp_path, **changes)

    return build


@pytest.fixture(scope="session")
def forms():
    """The folders of golden codes that are not a compressor's default form."""
    return set(FORMS)
