"""gzip: an ordinary member, the same on every run; forged ones are refused."""

import gzip

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from megatron_proxy import compressors
from megatron_proxy.compressors.controls.gzip import GzipCompressor
from megatron_proxy.errors import CompressorError


def build(level=9) -> GzipCompressor:
    return GzipCompressor.build({"level": level}, lambda: iter(()))


COMPRESSOR = build()


@given(st.binary(min_size=1))
def test_is_what_any_gzip_reads(document):
    codes = COMPRESSOR.encode(document)
    assert codes.dtype == np.uint8
    assert gzip.decompress(codes.tobytes()) == document
    assert COMPRESSOR.decode(codes) == document


def test_the_empty_document_has_no_codes():
    assert len(COMPRESSOR.encode(b"")) == 0
    assert COMPRESSOR.decode(np.empty(0, np.uint8)) == b""


def test_nothing_varies_in_the_header():
    codes = COMPRESSOR.encode(b"abc" * 100)
    assert codes[:10].tolist() == [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 0xFF]
    assert codes.tobytes()[10:] == gzip.compress(b"abc" * 100, 9, mtime=0)[10:]


def member(content: bytes) -> bytes:
    return COMPRESSOR.encode(content).tobytes()


GOOD = member(b"some text")
FORGED = {
    "no header": b"x",
    "another time": GOOD[:4] + b"\x01" + GOOD[5:],
    "truncated": GOOD[:-9] + GOOD[-8:],
    "checksum": GOOD[:-8] + b"\x00" + GOOD[-7:],
    "length": GOOD[:-1] + b"\x01",
    "two members": GOOD + GOOD,
    "trailing byte": GOOD[:-8] + b"\x00" + GOOD[-8:],
    "no content": gzip.compress(b"", mtime=0)[:8] + b"\x00\xff" + gzip.compress(b"", mtime=0)[10:],
    "garbage": GOOD[:10] + b"\xff" * 20 + GOOD[-8:],
}


@pytest.mark.parametrize("content", FORGED.values(), ids=FORGED.keys())
def test_forged_members_are_refused(content):
    with pytest.raises(CompressorError):
        COMPRESSOR.decode(np.frombuffer(content, dtype=np.uint8))


def test_codes_out_of_range_are_refused():
    with pytest.raises(CompressorError, match="out of range"):
        COMPRESSOR.decode(np.array([31, 139, 300]))


@pytest.mark.parametrize("level", [0, 10, None, "9", True])
def test_levels_out_of_range_name_the_flag(level):
    with pytest.raises(CompressorError, match="--gzip-level"):
        build(level)


def test_another_zlib_may_decode_but_not_encode():
    other = compressors.load("gzip", COMPRESSOR.config() | {"probe": "0" * 16}, {})
    assert other.decode(COMPRESSOR.encode(b"text")) == b"text"
    with pytest.raises(CompressorError, match=r"zlib \d.*other bytes"):
        other.encode(b"text")
