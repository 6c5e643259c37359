"""Errors of compressors that the contract and their own tests do not bring about."""

import json
import sys

import numpy as np
import pytest
from preparing import write_corpus

from megatron_proxy import cli, compressors
from megatron_proxy.compressors.strings.longest_match import TRIE_FILE
from megatron_proxy.compressors.strings.string_set import Trie
from megatron_proxy.compressors.strings.trie import TrieCompressor
from megatron_proxy.compressors.zstd.tables import reader_for
from megatron_proxy.errors import CompressorError


def empty_trie() -> bytes:
    return Trie(np.empty(0, np.int32), np.empty(0, np.uint8)).to_bytes()


@pytest.fixture
def registered(monkeypatch):
    """Compressors as a third party's entry points would name them."""
    entries = {"missing": "no_such_module:Compressor", "function": "json:dumps"}
    monkeypatch.setattr(compressors, "_registry", lambda: entries)


def test_entry_points_that_cannot_be_used(registered):
    with pytest.raises(CompressorError, match=r"^compressor 'missing' cannot be loaded from no_such_module: No module"):
        compressors.get("missing")
    with pytest.raises(CompressorError, match=r"^entry point 'function': json:dumps is not a Compressor$"):
        compressors.get("function")


NEURAL = ["--neural-counts", "0", "--neural-size", "4", "--neural-steps", "1", "--neural-batch", "2"]


def train_neural(folder, *flags):
    corpus = write_corpus(folder / "c.jsonl", ["the cat sat on the mat\n" * 8])
    return cli.main(["train-compressor", "neural", "--input", corpus, "--output", str(folder / "m"), *NEURAL, *flags])


def test_a_checkpoint_that_cannot_be_written(tmp_path):
    """Any more: at the start a flag would be named (tests/commands/test_early.py)."""
    torch = pytest.importorskip("torch")
    from megatron_proxy.compressors.byte_lm.checkpoint import State
    from megatron_proxy.compressors.byte_lm.network import ByteLM, Shape

    model = ByteLM(Shape(4, 1), 0)
    path = tmp_path / "nowhere" / "state"
    with pytest.raises(CompressorError, match=rf"^{path}: the checkpoint cannot be written \("):
        State(model, torch.optim.Adam(model.parameters())).save(path, "")


def test_a_language_model_without_torch(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "megatron_proxy.compressors.byte_lm.network", None)
    assert train_neural(tmp_path) == 1
    error = capsys.readouterr().err
    assert "megatron-proxy: error: training a language model needs torch, which cannot be imported (" in error
    assert error.endswith("  what to do: pip install 'megatron-proxy[train]', or give --neural-counts 1\n")


def test_codes_that_are_no_row_of_integers():
    compressor = TrieCompressor.from_config(
        {"segmenter": {"kind": "lines", "max_bytes": 64}}, {TRIE_FILE: empty_trie()}
    )
    with pytest.raises(CompressorError, match=r"^codes are a 1-D array of integers, not 2-D of float64$"):
        compressor.decode(np.zeros((2, 2)))


def test_a_trie_that_is_cut_at_other_places_than_lines():
    with pytest.raises(CompressorError, match=r"^this compressor cuts at lines; its configuration says fixed$"):
        TrieCompressor.from_config({"segmenter": {"kind": "fixed", "max_bytes": 64}}, {TRIE_FILE: empty_trie()})


def test_strings_without_a_byte_each():
    with pytest.raises(CompressorError, match=r"^a trie has at most 1,048,576 strings with one byte each, not 2$"):
        Trie(np.zeros(2, np.int32), np.zeros(1, np.uint8))


def test_damaged_zstd_dictionaries():
    import zstandard

    texts = [f"line {number} of {number * number}\n".encode() * 4 for number in range(300)]
    whole = zstandard.train_dictionary(2_048, texts).as_bytes()
    reader_for(whole)
    with pytest.raises(CompressorError, match=r"^the zstd dictionary's tables are damaged$"):
        reader_for(whole[:12])
    _, content = reader_for(whole)
    with pytest.raises(CompressorError, match=r"^the zstd dictionary is truncated$"):
        reader_for(whole[: content - 1])


def test_a_tokenizer_with_too_many_ids(tmp_path, capsys):
    pytest.importorskip("tokenizers")
    model = {"type": "WordLevel", "vocab": {"a": 1 << 24}, "unk_token": "a"}
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps({"version": "1.0", "added_tokens": [], "model": model}))
    corpus = write_corpus(tmp_path / "c.jsonl", ["a"])
    flags = ["--input", corpus, "--output", str(tmp_path / "m"), "--hf-model", str(path)]
    assert cli.main(["train-compressor", "hf", *flags]) == 1
    assert "a tokenizer with 16777217 ids" in capsys.readouterr().err
