"""What compressors hand over: checked for all documents of a range at once, stored one after the other."""

import numpy as np
import pytest
from toy_compressor import ToyCompressor

from megatron_proxy.compressors.base import Encoded
from megatron_proxy.data.prepare import units
from megatron_proxy.data.prepare.units import code_units, span_units
from megatron_proxy.errors import CompressorError

TOY = ToyCompressor(1)


def codes(*values):
    return np.array(values, dtype=np.uint16)


def encoded(count, byte_ends, code_ends):
    return Encoded(codes(*range(count)), np.array(byte_ends, dtype=np.int64), np.array(code_ends, dtype=np.int64))


def test_codes_are_joined():
    content, lengths = code_units(TOY, [codes(1, 2), codes(), codes(511)])
    assert np.frombuffer(content, dtype=np.uint16).tolist() == [1, 2, 511]
    assert (lengths.tolist(), lengths.dtype) == ([2, 0, 1], np.int32)
    assert code_units(TOY, [])[0] == b""


def test_spans_are_pairs_of_bytes_and_codes():
    documents = [encoded(2, [3, 5], [1, 2]), encoded(0, [], []), encoded(1, [4], [1]), encoded(3, [1, 2, 9], [1, 2, 3])]
    content, lengths = span_units(TOY, [5, 0, 4, 9], documents)
    assert np.frombuffer(content, dtype=np.uint16).tolist() == [3, 1, 2, 1, 4, 1, 1, 1, 1, 1, 7, 1]
    assert lengths.tolist() == [4, 0, 2, 6]
    content, lengths = span_units(TOY, [0, 0], [encoded(0, [], [])] * 2)
    assert (content, lengths.tolist()) == (b"", [0, 0])


@pytest.mark.parametrize(
    ("sizes", "documents", "message"),
    [
        ([5], [encoded(2, [3, 5], [2])], "spans with more byte ends than code ends, or fewer"),
        ([5, 4], [encoded(1, [5], [1]), encoded(1, [3], [1])], r"spans up to \[3, 1\] of a document of \[4, 1\]"),
        ([5, 4], [encoded(1, [5], [1]), encoded(0, [], [])], r"spans up to \[0, 0\] of a document of \[4, 0\]"),
        ([5], [encoded(2, [6, 5], [1, 2])], "spans of -1 to 6 bytes or codes"),
        ([65_536], [encoded(1, [65_536], [1])], "spans of 1 to 65,536 bytes or codes; at most 65,535"),
    ],
)
def test_spans_that_do_not_cover_their_document_are_refused(sizes, documents, message):
    with pytest.raises(CompressorError, match=f"'toy' gave {message}"):
        span_units(TOY, sizes, documents)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.array([1], dtype=np.int64), "codes of dtype int64"),
        (np.array([[1]], dtype=np.uint16), r"codes of dtype uint16 and shape \(1, 1\)"),
        (codes(0, 512), "codes from 0 to 512; there are 512"),
    ],
)
def test_codes_of_another_kind_are_refused(given, message):
    with pytest.raises(CompressorError, match=f"'toy' gave {message}"):
        code_units(TOY, [codes(1), given])


def test_more_units_than_an_index_holds_are_refused(monkeypatch):
    monkeypatch.setattr(units, "MAX_DOCUMENT_BYTES", 3)
    assert code_units(TOY, [codes(1, 2, 3)])[1].tolist() == [3]
    with pytest.raises(CompressorError, match="'toy' gave 4 units of one document, too many for an index"):
        code_units(TOY, [codes(1, 2, 3, 4)])
