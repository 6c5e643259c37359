"""Ids: the paper's layout, dtypes at their edges, names."""

import numpy as np
import pytest

from megatron_proxy import vocab
from megatron_proxy.vocab import Vocabulary


def test_layout_is_the_papers():
    assert (vocab.PAD, vocab.BOS, vocab.EOS, vocab.UNK, vocab.SEP) == (0, 1, 2, 3, 4)
    assert (vocab.RAW_OPEN, vocab.RAW_CLOSE, vocab.COMPRESSED_OPEN, vocab.COMPRESSED_CLOSE) == (12, 13, 14, 15)
    assert vocab.raw_ids(b"\x00A\xff").tolist() == [64, 129, 319]
    assert Vocabulary(65_536).size == 65_856


@pytest.mark.parametrize(
    ("num_symbols", "literals", "offset", "dtype"),
    [
        (256, False, 320, "uint8"),
        (257, False, 320, "uint16"),
        (65_536, False, 320, "uint16"),
        (65_537, False, 320, "int32"),
        (65_280, True, 64, "uint16"),
        (65_281, True, 64, "int32"),
        (0, True, 64, "uint8"),
    ],
)
def test_codes_take_the_smallest_dtype(num_symbols, literals, offset, dtype):
    vocabulary = Vocabulary(num_symbols, literals)
    assert vocabulary.code_offset == offset
    assert vocabulary.code_dtype == np.dtype(dtype)
    assert vocabulary.code_offset + vocabulary.num_codes == vocabulary.size


def test_bytes_and_symbols_are_told_apart():
    ids = [2, 12, 64, 319, 320, 400]
    assert vocab.is_byte(ids).tolist() == [False, False, True, True, False, False]
    assert vocab.decode(ids) == b"\x00\xff"


def test_names():
    assert [vocab.name(i) for i in (2, 12, 20, 64 + ord("a"), 64 + 10, 319, 337)] == [
        "<eos>",
        "<raw>",
        "<special-20>",
        "'a'",
        "0x0a",
        "0xff",
        "#17",
    ]
