"""The counter-based generator: published vectors, independence of order, even spread."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from megatron_proxy.common import rng
from megatron_proxy.common.rng import Purpose


def test_is_splitmix64_read_at_any_position():
    # The first outputs of SplitMix64 seeded with 1234567, as published with its reference code.
    expected = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    assert rng.bits(np.uint64(1234567), np.arange(5)).tolist() == expected


def test_keys_differ_by_seed_purpose_and_part():
    keys = {
        int(rng.key(seed, purpose, *parts))
        for seed in (0, 1, 2**63, -1)
        for purpose in (Purpose.DRAW_FORMAT, Purpose.DOCUMENT_ORDER)
        for parts in ((), (0,), (1,), (0, 0))
    }
    assert len(keys) == 4 * 2 * 4


@given(st.integers(), st.lists(st.integers(0, 2**40), min_size=1, max_size=20))
def test_a_value_depends_on_its_counter_alone(seed, counters):
    stream = rng.key(seed, Purpose.DRAW_FORMAT)
    together = rng.uniform(stream, counters)
    assert [rng.uniform(stream, [counter])[0] for counter in counters] == together.tolist()


def test_keys_broadcast_with_counters():
    streams = np.array([rng.key(1, Purpose.SPAN_FORMAT), rng.key(2, Purpose.SPAN_FORMAT)])
    both = rng.bits(streams[:, None], np.arange(3)[None, :])
    assert both.shape == (2, 3)
    assert both[1].tolist() == rng.bits(streams[1], np.arange(3)).tolist()


def test_uniform_is_even():
    values = rng.uniform(rng.key(7, Purpose.DRAW_FORMAT), np.arange(100_000))
    counts = np.histogram(values, bins=10, range=(0.0, 1.0))[0]
    # 5 standard deviations of a binomial count.
    assert np.abs(counts - 10_000).max() < 5 * np.sqrt(100_000 * 0.1 * 0.9)


@given(st.integers(0, 2**32), st.integers(0, 300))
def test_permutation_holds_each_index_once(seed, size):
    assert sorted(rng.permutation(rng.key(seed, Purpose.DOCUMENT_ORDER), size).tolist()) == list(range(size))


def test_permutation_is_fixed_for_all_time():
    assert rng.permutation(rng.key(1234, Purpose.DOCUMENT_ORDER, 0), 8).tolist() == [1, 4, 0, 5, 2, 7, 6, 3]


def test_a_large_permutation_is_the_stable_argsort_too():
    stream, size = rng.key(3, Purpose.DOCUMENT_ORDER), 300_000
    expected = np.argsort(rng.bits(stream, np.arange(size)), kind="stable")
    assert (rng.permutation(stream, size) == expected).all()


def test_equal_numbers_keep_their_order(monkeypatch):
    # Bits with few different values: ties everywhere, inside every bucket.
    few = np.uint64(0xFF00000000000000)
    bits = rng.bits
    monkeypatch.setattr(rng, "bits", lambda stream, counters: bits(stream, counters) & few)
    stream, size = rng.key(3, Purpose.DOCUMENT_ORDER), 300_000
    expected = np.argsort(rng.bits(stream, np.arange(size)), kind="stable")
    assert (rng.permutation(stream, size) == expected).all()


@given(st.integers(0, 2**64), st.lists(st.integers(0, 2**63), min_size=1, max_size=5))
def test_subkeys_are_keys(seed, parts):
    subkeys = rng.subkeys(rng.key(seed, Purpose.SPAN_FORMAT), parts)
    assert subkeys.tolist() == [int(rng.key(seed, Purpose.SPAN_FORMAT, part)) for part in parts]


def test_permutations_at_once():
    streams = rng.subkeys(rng.key(3, Purpose.WINDOW_ORDER), np.arange(4))
    assert rng.permutations(streams, 9).tolist() == [rng.permutation(stream, 9).tolist() for stream in streams]
