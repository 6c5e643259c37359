"""Interleaved draws: the compiled loops against the arithmetic of `rng`, and views of spans."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_views import MemoryView, spans_of

from megatron_proxy.common import rng
from megatron_proxy.common.rng import Purpose
from megatron_proxy.data.sampling import kernels, spans
from megatron_proxy.errors import DatasetError


@given(st.integers(0, 2**63 - 1), st.integers(0, 2**62), st.integers(0, 2**40), st.floats(0, 1))
def test_compiled_random_numbers_are_those_of_rng(seed, draw, span, rate):
    stream = rng.key(seed, Purpose.SPAN_FORMAT)
    key = rng.key(seed, Purpose.SPAN_FORMAT, draw)
    assert kernels.subkey(stream, draw) == key
    expected = bool(rng.uniform(key, [span])[0] < rate)
    assert kernels.is_compressed(key, span, spans.threshold(rate)) == expected


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_the_rate_is_exact_at_its_ends(rate):
    key = rng.key(1, Purpose.SPAN_FORMAT, 0)
    found = {kernels.is_compressed(key, span, spans.threshold(rate)) for span in range(1000)}
    assert found == {bool(rate)}


def view(sizes, flat, dtype=np.uint16):
    return MemoryView(sizes, np.array(flat, dtype=dtype))


def test_the_spans_of_a_document():
    stored = view([4, 0, 2], [3, 1, 2, 2, 5, 4])
    assert [spans.spans_of(stored, document).tolist() for document in range(3)] == [[[3, 1], [2, 2]], [], [[5, 4]]]


def test_other_views_hold_no_spans():
    with pytest.raises(DatasetError, match="pairs of uint16"):
        spans.require_spans(view([2], [1, 2], np.int32))
    with pytest.raises(DatasetError, match="pairs of uint16"):
        spans.spans_of(view([3], [1, 2, 3]), 0)


@pytest.mark.parametrize(
    "damaged",
    [view([3], [1, 2, 3]), view([4], [1, 2]), view([-2, 4], [1, 2])],
    ids=["odd", "short", "negative"],
)
def test_spans_outside_their_view_are_found_where_they_are_read(damaged):
    with pytest.raises(DatasetError, match=r"pairs of uint16|outside the .bin file"):
        spans.spans_of(damaged, 0)
    assert measured(damaged, 1, [0]) == [[-1] * 4]


def test_measures_of_a_draw():
    # Spans of (bytes, codes): 3,1  2,2  4,3  1,1; the first, third and fourth compressed.
    table = spans_of([4], [[3, 1], [2, 2], [4, 3], [1, 1]])
    seed = next(seed for seed in range(1000) if formats(seed, 4) == [True, False, True, True])
    # <c> 1 </c> <raw> 2 </raw> <c> 4 </c> eos
    assert measured(table, seed, [0]) == [[2, 8, 1 + 2 + 2 + 2 + 4 + 2 + 1, 7]]
    expected = [(0, 0)] * 2 + [(0, 3)] * 3 + [(1, 3), (2, 3), (2, 3), (2, 3), (2, 4), (2, 5), (2, 7), (2, 8), (2, 8)]
    every = np.arange(len(expected))
    assert [tuple(row[:2]) for row in measured(table, seed, every * 0, every)] == expected


def measured(table, seed, draws, ends=None):
    """What the loop says of draws of document 0 at the rate 0.5."""
    out = np.empty((len(draws), 4), np.int64)
    stream, documents = rng.key(seed, Purpose.SPAN_FORMAT), np.zeros(len(draws), np.int32)
    ends = np.full(len(draws), kernels.ENDLESS) if ends is None else ends
    kernels.measure(table.flat, np.array(draws), documents, stream, spans.threshold(0.5), ends, out)
    return out.tolist()


def formats(seed, count):
    return (rng.uniform(rng.key(seed, Purpose.SPAN_FORMAT, 0), np.arange(count)) < 0.5).tolist()


@given(st.integers(0, 2**32), st.lists(st.tuples(st.integers(0, 9), st.integers(0, 5)), max_size=8), st.data())
def test_compiled_loops_do_what_their_python_says(seed, pairs, data):
    table = np.array(pairs, np.uint16).reshape(-1, 2)
    raw, codes = np.arange(table[:, 0].sum(), dtype=np.uint8), np.arange(table[:, 1].sum(), dtype=np.uint16)
    stream, limit = rng.key(seed, Purpose.SPAN_FORMAT), spans.threshold(0.5)
    draw, skip, size = data.draw(st.tuples(st.integers(0, 99), st.integers(0, 60), st.integers(1, 60)))
    stored, documents = spans_of([len(table)], table).flat, np.zeros(2, np.int32)

    def run(measure, assemble):
        totals, ids = np.zeros((2, 4), np.int64), np.zeros(size, np.int64)
        measure(stored, np.array([draw] * 2), documents, stream, limit, np.array([kernels.ENDLESS, skip]), totals)
        written = assemble(table, stream, draw, limit, skip, raw, codes, 320, ids)
        return totals.tolist(), written, ids.tolist()

    loops = (kernels.measure, kernels.assemble)
    compiled = run(*loops)
    with pytest.MonkeyPatch.context() as patch, np.errstate(over="ignore"):
        for name in ("_mix", "subkey", "is_compressed", "_totals", "_put", "_shift", "_spans"):
            patch.setattr(kernels, name, getattr(kernels, name).py_func)
        assert run(*(loop.py_func for loop in loops)) == compiled
