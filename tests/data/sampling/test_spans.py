"""Interleaved draws: the compiled loops against the arithmetic of `rng`, and span tables."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from span_tables import table_of, view_of

from megatron_proxy.common import rng
from megatron_proxy.common.rng import Purpose
from megatron_proxy.data.sampling import kernels, spans
from megatron_proxy.data.sampling.spans import SpanReader, SpanTable
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
    return view_of(sizes, np.array(flat, dtype=dtype))


@pytest.mark.parametrize("kind", [SpanTable, SpanReader])
def test_the_spans_of_a_document(kind):
    table = kind(view([4, 0, 2], [3, 1, 2, 2, 5, 4]))
    assert [table.of(document).tolist() for document in range(3)] == [[[3, 1], [2, 2]], [], [[5, 4]]]


def test_a_table_is_what_is_on_disk_and_nothing_more():
    stored = view([4, 0, 2], [3, 1, 2, 2, 5, 4])
    table = SpanTable(stored)
    assert table.flat[1] is stored.sequence_pointers
    assert table.flat[2] is stored.sequence_lengths
    assert (len(table), len(SpanTable(view([], [])))) == (3, 0)


@pytest.mark.parametrize("kind", [SpanTable, SpanReader])
def test_other_views_are_not_span_tables(kind):
    with pytest.raises(DatasetError, match="pairs of uint16"):
        kind(view([2], [1, 2], np.int32)).of(0)
    with pytest.raises(DatasetError, match=r"pairs of uint16|outside its .bin file"):
        kind(view([3], [1, 2, 3])).of(0)


@pytest.mark.parametrize(
    "damaged",
    [view([3], [1, 2, 3]), view([4], [1, 2]), view([-2, 4], [1, 2])],
    ids=["odd", "short", "negative"],
)
def test_spans_outside_their_view_are_found_where_they_are_read(damaged):
    table = SpanTable(damaged)
    with pytest.raises(DatasetError, match=r"outside its .bin file"):
        table.of(0)
    assert measured(table, 1, [0]) == [[-1] * 4]
    raw = (np.zeros(9, np.uint8), np.zeros(1, np.int64), np.array([9], np.int32))
    window = (rng.key(1, Purpose.SPAN_FORMAT), 0, 1, spans.threshold(0.5), 0, np.zeros(9, np.int64))
    found = kernels.assemble_draws(table.flat, raw, raw, 320, np.array([0], np.int32), *window)
    assert found[:2] == (0, kernels.OUTSIDE)


def test_measures_of_a_draw():
    # Spans of (bytes, codes): 3,1  2,2  4,3  1,1; the first, third and fourth compressed.
    table = table_of([4], [[3, 1], [2, 2], [4, 3], [1, 1]])
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
    stored, documents = table_of([len(table)], table).flat, np.zeros(draw + 3, np.int32)
    flat = [(units, np.zeros(1, np.int64), np.array([len(units)], np.int32)) for units in (raw, codes)]

    def run(measure, assemble, assemble_draws):
        totals = np.zeros((2, 4), np.int64)
        measure(stored, np.array([draw] * 2), documents[:2], stream, limit, np.array([kernels.ENDLESS, skip]), totals)
        one, several = np.zeros(size, np.int64), np.zeros(size, np.int64)
        written = assemble(table, stream, draw, limit, skip, raw, codes, 320, one)
        window = (stream, draw, draw + 3, limit, skip, several)
        written_too = assemble_draws(stored, *flat, 320, documents, *window)
        return totals.tolist(), written, one.tolist(), written_too, several.tolist()

    loops = (kernels.measure, kernels.assemble, kernels.assemble_draws)
    compiled = run(*loops)
    with pytest.MonkeyPatch.context() as patch, np.errstate(over="ignore"):
        for name in ("_mix", "subkey", "is_compressed", "_totals", "_put", "_shift", "_units", "_spans", "assemble"):
            patch.setattr(kernels, name, getattr(kernels, name).py_func)
        assert run(*(loop.py_func for loop in loops)) == compiled
