"""Regroupings: exact codes, exact inverses, odd lengths and trailing NULs."""

import numpy as np
import pytest

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


def test_spans_of_double_bytes_are_even_but_for_the_last():
    encoded = build("doublebyte").encode_spans(b"odd lines of text, each\n" * 30 + b"x")
    assert len(encoded.byte_ends) > 2
    assert (encoded.byte_ends[:-1] % 2 == 0).all()
    assert encoded.code_ends.tolist() == [*(encoded.byte_ends[:-1] // 2), 361]


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
