"""Regroupings: exact codes, exact inverses, odd lengths and trailing NULs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from megatron_proxy import compressors
from megatron_proxy.errors import CompressorError

NAMES = ("bit", "doublebit", "doublebyte", "halfbyte", "identity")


def build(name):
    return compressors.get(name).build({}, lambda: iter(()))


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("bit", [0, 1, 0, 0, 0, 0, 0, 1] + [0] * 8),
        ("doublebit", [1, 0, 0, 1] + [0] * 4),
        ("halfbyte", [4, 1, 0, 0]),
        ("identity", [0x41, 0]),
        ("doublebyte", [256 + 0x4100]),
    ],
)
def test_most_significant_bits_come_first(name, codes):
    compressor = build(name)
    encoded = compressor.encode(b"A\0")
    assert encoded.tolist() == codes
    assert encoded.dtype == compressor.vocabulary.code_dtype
    assert compressor.decode(encoded) == b"A\0"


def test_an_odd_last_byte_is_a_literal():
    assert build("doublebyte").encode(b"A\0\0").tolist() == [256 + 0x4100, 0]
    assert build("doublebyte").decode(np.array([0])) == b"\0"


@pytest.mark.parametrize("name", NAMES)
@given(document=st.binary(max_size=40) | st.lists(st.sampled_from([b"a line of text\n", b"\n", b"x\n"])).map(b"".join))
def test_everything_comes_back_and_spans_decode_alone(name, document):
    compressor = build(name)
    document = document * 30
    encoded = compressor.encode_spans(document)
    assert compressor.decode(encoded.codes) == document
    begin = code = 0
    for end, code_end in zip(encoded.byte_ends.tolist(), encoded.code_ends.tolist(), strict=True):
        assert end > begin
        assert compressor.decode(encoded.codes[code:code_end]) == document[begin:end]
        begin, code = end, code_end
    assert (begin, code) == (len(document), len(encoded.codes))


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("bit", [0] * 7),
        ("bit", [2] * 8),
        ("doublebit", [0, 0, 0]),
        ("halfbyte", [4]),
        ("halfbyte", [16, 0]),
        ("identity", [256]),
        ("doublebyte", [65, 256]),
        ("doublebyte", [256 + 65_536]),
        ("doublebyte", [-1]),
    ],
)
def test_other_codes_are_refused(name, codes):
    with pytest.raises(CompressorError):
        build(name).decode(np.array(codes))


@pytest.mark.parametrize("name", NAMES)
def test_there_is_nothing_to_set(name):
    assert compressors.get(name).options == ()
    with pytest.raises(CompressorError, match="no settings"):
        compressors.load(name, {"level": 3}, {})
