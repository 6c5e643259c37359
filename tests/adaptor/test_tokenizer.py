"""The tokenizer that Megatron sees, and the raw view's own functions."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from megatron_proxy import vocab

pytest.importorskip("megatron.core", reason="megatron-core is not installed")

from megatron_proxy.adaptor.tokenizer import ProxyTokenizer

TOKENIZER = ProxyTokenizer("trie", vocab.Vocabulary(100, literals=True), ["cd", "ab", "cd"])


@given(st.binary())
def test_every_document_comes_back(document):
    ids = TOKENIZER.tokenize(document)
    assert vocab.decode([vocab.RAW_OPEN, *ids, vocab.RAW_CLOSE]) == document
    assert TOKENIZER.tokenize(document.decode("utf-8", "surrogateescape")) == ids


def test_text():
    assert TOKENIZER.tokenize("aé") == [64 + 97, 64 + 0xC3, 64 + 0xA9]
    assert TOKENIZER.detokenize([12, 64 + 97, 64 + 0xC3, 64 + 0xA9, 13, 2, 400]) == "aé"
    assert TOKENIZER.detokenize([64 + 0xC3]) == "\N{REPLACEMENT CHARACTER}"


def test_what_megatron_asks_for():
    assert TOKENIZER.vocab_size == 420
    assert (TOKENIZER.eod, TOKENIZER.eos, TOKENIZER.eos_id, TOKENIZER.pad, TOKENIZER.pad_id) == (2, 2, 2, 0, 0)
    assert TOKENIZER.pad not in [id_ for name, id_ in TOKENIZER.special_tokens_dict.items() if name != "pad_token"]
    assert len(TOKENIZER.vocab) == len(TOKENIZER.inv_vocab) == 420
    assert TOKENIZER.inv_vocab[TOKENIZER.vocab["<raw>"]] == "<raw>"


def test_the_key_of_index_caches_holds_all_that_decides_on_ids():
    assert json.loads(json.dumps(TOKENIZER.unique_identifiers)) == {
        "class": "megatron_proxy.adaptor.tokenizer.ProxyTokenizer",
        "compressor": "trie",
        "fingerprints": ["ab", "cd"],
        "num_symbols": 100,
        "literals": True,
    }


def test_there_is_no_chat_template():
    with pytest.raises(NotImplementedError):
        TOKENIZER.apply_chat_template([])
