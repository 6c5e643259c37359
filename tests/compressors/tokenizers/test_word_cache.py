"""Texts cut into words: the same ids as the library gives the whole text, whatever stands at the borders."""

import base64
import itertools
import json
from functools import cache

import numpy as np
import pytest
import tiktoken
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, models, pre_tokenizers

from megatron_proxy.compressors.tokenizers import word_cache
from megatron_proxy.compressors.tokenizers.hf import _BYTE_OF, HfCompressor
from megatron_proxy.compressors.tokenizers.tiktoken import TiktokenCompressor
from megatron_proxy.compressors.tokenizers.word_cache import PATTERNS, Borders, WordEncoder, borders_between, borders_of

# Letters, digits, punctuation, and all kinds of white space and of what looks like it.
SPACES = [
    "\u00a0",
    "\u0085",
    "\u1680",
    "\u180e",
    "\u2003",
    "\u2028",
    "\u202f",
    "\u205f",
    "\u3000",
    "\u200b",
    "\x1c",
    "\x0b",
]
PIECES = [
    *"abZ",
    *"é日。ſ½٣",
    *"'(._/",
    *" \n\r\t",
    *SPACES,
    "'s",
    "'LL",
    "1",
    "234",
    "  ",
    "\n\n",
    "\0",
    "\x7f",
    "🦊",
    "\u0301",
]
texts = st.lists(st.sampled_from(PIECES), max_size=40).map("".join)

# Any two of these merge: where the pattern does not part them, they become one token.
MERGING = [byte for byte in range(128) if chr(byte) in "abZ'(._/1234 \n\r\t"]
PAIRS = [bytes(pair) for pair in itertools.product(MERGING, repeat=2)]
RANKS = {token: rank for rank, token in enumerate([*(bytes([byte]) for byte in range(256)), *PAIRS])}


def ranks_file() -> bytes:
    return b"".join(base64.b64encode(token) + b" %d\n" % rank for token, rank in RANKS.items())


def tokenizer_json(pre_tokenizer) -> bytes:
    character = {byte: text for text, byte in _BYTE_OF.items()}
    spell = lambda token: "".join(character[byte] for byte in token)  # noqa: E731
    merges = [(spell(pair[:1]), spell(pair[1:])) for pair in PAIRS]
    tokenizer = Tokenizer(models.BPE({spell(token): rank for token, rank in RANKS.items()}, merges))
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.add_tokens(["b a"])
    return tokenizer.to_str().encode()


def split_by(pattern: str):
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"), byte_level])


@pytest.mark.long
@pytest.mark.parametrize("pattern", PATTERNS)
@settings(max_examples=400, deadline=None)
@given(text=texts)
def test_ids_are_those_of_the_whole_text(pattern, text):
    library = tiktoken.Encoding(pattern, pat_str=PATTERNS[pattern], mergeable_ranks=RANKS, special_tokens={})
    compressor = _tiktoken(pattern)
    assert compressor._words is not None
    codes = compressor.encode(text.encode())
    assert [code - 256 for code in codes.tolist()] == library.encode_ordinary(text)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["gpt2", "cl100k"])
@settings(max_examples=400, deadline=None)
@given(text=texts)
def test_the_same_with_a_tokenizer_json(kind, text):
    compressor = _hf(kind)
    assert compressor._words is not None
    codes = compressor.encode(text.encode())
    expected = compressor._tokenizer.encode(text, add_special_tokens=False).ids
    assert [code - 256 for code in codes.tolist()] == expected
    assert compressor.decode(codes) == text.encode()


def test_added_tokens_are_found_over_borders():
    compressor = _hf("gpt2")
    assert 256 + compressor._tokenizer.token_to_id("b a") in compressor.encode(b"aab abb").tolist()


def test_words():
    assert words("if x: return foo_bar(it's, 12)\n\n  y", Borders.GPT2) == [
        *("if", " x", ":", " return", " foo", "_", "bar", "(", "it", "'s", ",", " 12", ")", "\n\n  y"),
    ]
    assert words("if x:\n    y.foo_bar", Borders.CL100K) == ["if", " x", ":\n", "    y", ".foo", "_bar"]
    assert words("a\u3000 b日 c", Borders.GPT2) == ["a\u3000 b日", " c"]
    assert words("x.foo(1,\n  y日z)", Borders.LETTERS) == ["x", ".", "foo", "(1,\n", "  y日z", ")"]


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([b" foo", b"(1,", b"\n", b"12", "日.".encode()], Borders.LETTERS),
        ([b"foo", b"x1"], Borders.SPACES),
        ([b"foo", b"_x"], Borders.SPACES),
        ([b"foo", b"a b"], None),
        ([b"foo", b"\nx"], None),
        ([b"foo", b"\n\n"], None),
    ],
)
def test_borders_that_no_piece_crosses(pieces, expected):
    assert borders_between(pieces) is expected


def words(text, borders):
    seen = []

    def batch(new):
        seen.extend(new)
        return np.arange(len(new), dtype=np.int32), np.arange(1, len(new) + 1)

    codes = WordEncoder(batch, borders).encode(text.encode())
    return [seen[code] for code in codes]


@pytest.mark.parametrize(
    "changes",
    [
        {"normalizer": {"type": "NFC"}},
        {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}},
        {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}},
        {"pre_tokenizer": {"type": "Whitespace"}},
        {"pre_tokenizer": None},
    ],
)
def test_other_tokenizers_get_whole_texts(changes):
    content = json.loads(tokenizer_json(pre_tokenizers.ByteLevel(add_prefix_space=False)))
    assert HfCompressor(json.dumps(content | changes).encode())._words is None


def test_other_patterns_get_whole_texts():
    assert borders_of(r"\w+|\W+") is None
    assert TiktokenCompressor(ranks_file(), r"\w+|\W+")._words is None


def test_a_long_word_is_one(monkeypatch):
    monkeypatch.setattr(word_cache, "_CHUNK", 20)
    compressor = TiktokenCompressor(ranks_file(), "gpt2")
    text = b"short " + b"ab" * 400 + b" words"
    assert compressor.decode(compressor.encode(text)) == text
    assert compressor.encode(text).tolist() == [256 + id_ for id_ in compressor._ids_of([text.decode()])[0]]


@cache
def _tiktoken(pattern):
    return TiktokenCompressor(ranks_file(), pattern)


@cache
def _hf(kind):
    plain = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return HfCompressor(tokenizer_json(plain if kind == "gpt2" else split_by(PATTERNS["cl100k"])))
