"""tiktoken: the library's ids, exact on every input; ranks files that are none."""

import base64

import numpy as np
import pytest
import tiktoken
from encoded_spans import spans_of
from hypothesis import given, settings
from hypothesis import strategies as st

from megatron_proxy import compressors
from megatron_proxy.compressors.tokenizers.tiktoken import PATTERNS, TiktokenCompressor
from megatron_proxy.errors import CompressorError

TOKENS = [bytes([byte]) for byte in range(256)] + [
    b"th",
    b"the",
    b" the",
    b"  ",
    b"    ",
    b"\n\n",
    b"in",
    b"ing",
    "é".encode(),
]


def ranks_file(tokens) -> bytes:
    return b"".join(base64.b64encode(token) + b" %d\n" % rank for rank, token in enumerate(tokens))


RANKS = ranks_file(TOKENS)
COMPRESSOR = TiktokenCompressor(RANKS)
TEXT = "the thing in\n\n    the éthé 12345 'tis\r\n"


def test_ids_are_the_librarys():
    encoding = tiktoken.Encoding(
        "x", pat_str=PATTERNS["cl100k"], mergeable_ranks={t: i for i, t in enumerate(TOKENS)}, special_tokens={}
    )
    assert COMPRESSOR.encode(TEXT.encode()).tolist() == [256 + id_ for id_ in encoding.encode_ordinary(TEXT)]
    assert COMPRESSOR.encode(b" the").tolist() == [256 + TOKENS.index(b" the")]


@pytest.mark.long
@pytest.mark.parametrize("symbols", ["ids", "bytes", "gray"])
@pytest.mark.parametrize("split", ["none", "lines"])
@settings(max_examples=50, deadline=None)
@given(document=st.binary(max_size=80) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_everything_comes_back(symbols, split, document):
    compressor = TiktokenCompressor(RANKS, "gpt2", symbols, split)
    document = document + TEXT.encode() * 12
    encoded = compressor.encode_spans(document)
    assert encoded.codes.tolist() == compressor.encode(document).tolist()
    assert compressor.decode(encoded.codes) == document
    for part, codes in spans_of(encoded, document):
        assert compressor.decode(codes) == part
    assert (len(encoded.byte_ends) > 1) == (split == "lines")


def test_long_runs_take_no_long_time():
    for document in (b" " * 200_000, b"the" * 100_000, b"\n" * 100_000, b"\xff" * 100_000):
        assert COMPRESSOR.decode(COMPRESSOR.encode(document)) == document


def test_builds_from_a_file(tmp_path):
    (tmp_path / "some.tiktoken").write_bytes(RANKS)
    options = TiktokenCompressor.all_options({})
    built = TiktokenCompressor.build(options | {"ranks": str(tmp_path / "some.tiktoken")}, lambda: iter(()))
    restored = compressors.load("tiktoken", built.config(), built.files())
    assert restored.fingerprint == built.fingerprint
    assert restored.encode(TEXT.encode()).tolist() == COMPRESSOR.encode(TEXT.encode()).tolist()
    with pytest.raises(CompressorError, match="--tiktoken-ranks"):
        TiktokenCompressor.build(options, lambda: iter(()))


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "lack 256"),
        (b"!! 3\n", "ranks file:1"),
        (RANKS + b"dGhl\n", "ranks file:266"),
        (RANKS + b"eHl6 3\n", "given twice"),
        (RANKS + b"eHl6 -3\n", "negative"),
        (RANKS + b"eHl6 99999999999\n", "as high as"),
        (ranks_file(TOKENS[1:]), "lack 1 single"),
    ],
)
def test_foreign_files_are_refused(content, what):
    with pytest.raises(CompressorError, match=what):
        TiktokenCompressor(content)


def test_foreign_patterns_are_refused():
    with pytest.raises(CompressorError, match="pattern"):
        TiktokenCompressor(RANKS, "(")


def test_patterns_that_leave_something_out_give_literals():
    assert TiktokenCompressor(RANKS, "the").encode(b"the").tolist() == [256 + TOKENS.index(b"the")]
    assert TiktokenCompressor(RANKS, "the").encode(b"the end").tolist() == list(b"the end")
    with pytest.raises(CompressorError, match="tiktoken breaks down"):
        TiktokenCompressor(RANKS, "(the)?").encode(b"end")


def test_gaps_between_ranks_are_refused_in_decoding():
    compressor = TiktokenCompressor(RANKS + base64.b64encode(b"xyz") + b" 300\n")
    assert compressor.num_symbols == 301
    assert compressor.decode(np.array([256 + 300])) == b"xyz"
    with pytest.raises(CompressorError, match="stands for nothing"):
        compressor.decode(np.array([256 + 299]))
