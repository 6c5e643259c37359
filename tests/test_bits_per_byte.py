"""Bits per byte."""

import math

import numpy as np
import pytest

from megatron_proxy.vocab import Vocabulary, bits_per_byte, bytes_per_id


def test_uniform_guessing_over_256_bytes_costs_8_bits_per_byte():
    assert bits_per_byte(100 * math.log(256), 100) == pytest.approx(8.0)


def test_a_symbol_counts_for_its_bytes():
    assert bits_per_byte(10 * math.log(2), 40) == pytest.approx(0.25)


def test_nothing_seen_gives_no_figure():
    assert bits_per_byte(0.0, 0) is None


def test_bytes_of_each_id():
    table = bytes_per_id(Vocabulary(3), np.array([2, 5, 1], np.int32))
    assert table.dtype == np.float32
    assert table[:64].tolist() == [0.0] * 64
    assert table[64:320].tolist() == [1.0] * 256
    assert table[320:].tolist() == [2.0, 5.0, 1.0]


def test_symbols_without_a_length_count_for_the_mean():
    assert bytes_per_id(Vocabulary(2), None, mean=2.5)[320:].tolist() == [2.5, 2.5]
