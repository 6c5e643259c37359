"""Documents, forms and measures of draws, on small numbers that can be checked by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from megatron_proxy.common import rng
from megatron_proxy.common.rng import Purpose
from megatron_proxy.data.sampling import draws
from megatron_proxy.data.sampling.draws import DocumentOrder, Form
from megatron_proxy.data.sampling.schedule import Mix, Mode

SEED = 7


def forms(rate, mode, count=2000):
    return draws.draw_forms(SEED, np.arange(count), Mix(rate, mode))


def chances(count=2000):
    return rng.uniform(rng.key(SEED, Purpose.DRAW_FORMAT), np.arange(count))


@pytest.mark.parametrize(
    ("mode", "rate", "border", "below", "above"),
    [
        (Mode.VANILLA, 0.3, 0.3, Form.VANILLA_COMPRESSED, Form.VANILLA_RAW),
        (Mode.SENTINEL, 0.3, 0.3, Form.COMPRESSED, Form.RAW),
        # r > 1/2: compressed only with probability 2 - 1/r.
        (Mode.TRANSLATION_RAW_COMPRESSED, 0.8, 0.75, Form.COMPRESSED, Form.RAW_COMPRESSED),
        (Mode.PARALLEL_COMPRESSED_RAW, 0.8, 0.75, Form.COMPRESSED, Form.PARALLEL_CR),
        # r <= 1/2: a pair with probability r / (1 - r).
        (Mode.TRANSLATION_COMPRESSED_RAW, 0.2, 0.25, Form.COMPRESSED_RAW, Form.RAW),
        (Mode.PARALLEL_RAW_COMPRESSED, 0.2, 0.25, Form.PARALLEL_RC, Form.RAW),
    ],
)
def test_a_uniform_number_decides_the_form(mode, rate, border, below, above):
    expected = np.where(chances() < border, below, above)
    assert forms(rate, mode).tolist() == expected.tolist()


@pytest.mark.parametrize("mode", [mode for mode in Mode if "_" in mode])
def test_pairing_modes_at_their_edges(mode):
    assert set(forms(0.0, mode)) == {Form.RAW}
    assert set(forms(1.0, mode)) == {Form.COMPRESSED}
    assert set(forms(0.5, mode)) <= {Form.RAW_COMPRESSED, Form.COMPRESSED_RAW, Form.PARALLEL_RC, Form.PARALLEL_CR}


def test_random_order_is_decided_by_a_stream_of_its_own():
    raw_first = rng.uniform(rng.key(SEED, Purpose.PAIR_ORDER), np.arange(2000)) < 0.5
    expected = np.where(raw_first, Form.RAW_COMPRESSED, Form.COMPRESSED_RAW)
    assert forms(0.5, Mode.TRANSLATION_RANDOM).tolist() == expected.tolist()
    expected = np.where(raw_first, Form.PARALLEL_RC, Form.PARALLEL_CR)
    assert forms(0.5, Mode.PARALLEL_RANDOM).tolist() == expected.tolist()


def test_interleaved_draws_are_all_alike():
    assert set(forms(0.3, Mode.INTERLEAVED)) == {Form.INTERLEAVED}


@pytest.mark.long
@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=20), st.sampled_from(list(Mode)), st.floats(0, 1))
def test_a_form_depends_on_its_draw_alone(numbers, mode, rate):
    mix = Mix(rate, mode)
    together = draws.draw_forms(SEED, np.array(numbers), mix).tolist()
    assert [draws.draw_forms(SEED, np.array([number]), mix)[0] for number in numbers] == together


# A document of 10 bytes and 4 codes, in every form.
LENGTHS = {
    Form.RAW: 13,
    Form.COMPRESSED: 7,
    Form.RAW_COMPRESSED: 19,
    Form.COMPRESSED_RAW: 19,
    Form.PARALLEL_RC: 20,
    Form.PARALLEL_CR: 20,
    Form.VANILLA_RAW: 11,
    Form.VANILLA_COMPRESSED: 5,
}


@pytest.mark.parametrize(("form", "length"), LENGTHS.items())
def test_lengths(form, length):
    measured = draws.form_lengths(np.array([form], np.uint8), np.array([10]), np.array([4]))
    assert measured.tolist() == [length]


@pytest.mark.parametrize(
    ("form", "before"),
    [
        # Bytes of the raw view, and source bytes of the compressed view, before each offset.
        (Form.RAW, {0: (0, 0), 1: (0, 0), 2: (1, 0), 11: (10, 0), 12: (10, 0), 13: (10, 0)}),
        (Form.COMPRESSED, {1: (0, 0), 2: (0, 2), 3: (0, 5), 4: (0, 7), 5: (0, 10), 6: (0, 10)}),
        (Form.RAW_COMPRESSED, {11: (10, 0), 13: (10, 0), 14: (10, 2), 17: (10, 10), 19: (10, 10)}),
        (Form.COMPRESSED_RAW, {5: (0, 10), 7: (0, 10), 8: (1, 10), 17: (10, 10)}),
        (Form.PARALLEL_RC, {11: (10, 0), 14: (10, 0), 15: (10, 2), 18: (10, 10)}),
        (Form.PARALLEL_CR, {5: (0, 10), 8: (0, 10), 9: (1, 10), 18: (10, 10)}),
        (Form.VANILLA_RAW, {0: (0, 0), 1: (1, 0), 10: (10, 0), 11: (10, 0)}),
        (Form.VANILLA_COMPRESSED, {1: (0, 2), 4: (0, 10), 5: (0, 10)}),
    ],
)
def test_source_bytes_before_an_offset(form, before):
    count = len(before)
    forms_, raw, codes = np.full(count, form, np.uint8), np.full(count, 10), np.full(count, 4)
    measured = draws.source_bytes_before(forms_, raw, codes, np.array(list(before)))
    assert measured.tolist() == [list(pair) for pair in before.values()]


def test_source_bytes_of_whole_draws():
    every = np.arange(8, dtype=np.uint8)
    expected = [[10, 0], [0, 10], [10, 10], [10, 10], [10, 10], [10, 10], [10, 0], [0, 10]]
    assert draws.form_source_bytes(every, np.full(8, 10)).tolist() == expected


@pytest.mark.parametrize(("start", "size"), [(0, 1), (0, 3), (5, 7), (2, 70_000)])
def test_every_epoch_holds_each_document_once(start, size):
    order = DocumentOrder(3, range(start, start + size))
    documents = np.concatenate(list(take_all(order, 3 * size)))
    for epoch in range(3):
        expected = rng.permutation(rng.key(3, Purpose.DOCUMENT_ORDER, epoch), size) + start
        assert documents[epoch * size : (epoch + 1) * size].tolist() == expected.tolist()
    assert documents.dtype == np.int32


def take_all(order, count):
    first = 0
    while first < count:
        taken = order.take(first, min(50_000, count - first))
        assert 1 <= len(taken) <= 50_000
        yield taken
        first += len(taken)


def test_going_back_gives_the_same_documents():
    order = DocumentOrder(3, range(1000))
    first = order.take(0, 10).tolist()
    far = order.take(10_000_000, 10).tolist()
    assert order.take(0, 10).tolist() == first
    assert order.take(10_000_005, 5).tolist() == far[5:]
