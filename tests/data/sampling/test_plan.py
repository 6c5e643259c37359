"""Plans: independent of how they are computed, extendable, and clear about what cannot be planned."""

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_views import spans_of

from megatron_proxy.data.sampling.draws import Form, form_lengths
from megatron_proxy.data.sampling.plan import DocumentSizes, PlanSpec, default_block
from megatron_proxy.data.sampling.planner import build, collect, epoch_windows, plan_parts
from megatron_proxy.data.sampling.schedule import Mode, Schedule
from megatron_proxy.errors import ConfigurationError, DatasetError


def sizes_of(count, seed=0, spans=True):
    generator = np.random.default_rng(seed)
    per_document = generator.integers(0, 6, count)
    lengths = generator.integers(1, 30, (per_document.sum(), 2)).astype(np.uint16)
    offsets = np.concatenate([[0], np.cumsum(per_document)])
    totals = np.array([lengths[a:b].sum(axis=0, dtype=np.int64) for a, b in itertools.pairwise(offsets)])
    raw, codes = totals.T.astype(np.int32)
    return DocumentSizes(raw, codes, spans_of(per_document, lengths) if spans else None)


SIZES = sizes_of(40)
ALL_MODES = Schedule(
    0.2,
    0.8,
    0.4,
    warmup=0.4,
    steady=0.3,
    decay=0.2,
    warmup_mode=Mode.PARALLEL_RANDOM,
    steady_mode=Mode.INTERLEAVED,
    final_mode=Mode.SENTINEL,
)
SPEC = PlanSpec(1234, 64, ALL_MODES, 300, 330, range(40), block=4)


def assert_same(left, right):
    assert left.keys() == right.keys()
    for name in left:
        assert left[name].dtype == right[name].dtype
        np.testing.assert_array_equal(left[name], right[name], err_msg=name)


@pytest.mark.parametrize("chunk", [1, 3, 17, 1000])
def test_chunks_leave_no_trace(chunk):
    assert_same(collect(plan_parts(SPEC, SIZES, chunk)), collect(plan_parts(SPEC, SIZES)))


def test_long_documents_make_no_large_chunks():
    raw = np.full(40, 5_000, np.int32)
    spec = replace(SPEC, schedule=Schedule.constant(0.0, Mode.SENTINEL), num_samples=2_000)
    parts = list(plan_parts(spec, DocumentSizes(raw, raw), chunk=32))
    rows = [len(part["sample_index"]) for part in parts if "sample_index" in part]
    assert sum(rows) == 2_001
    # One document makes 79 windows.
    assert max(rows) <= 32 + 79


@pytest.mark.parametrize(
    ("rate", "mode"),
    [(0.0, Mode.SENTINEL), (1.0, Mode.SENTINEL), (0.5, Mode.PARALLEL_RAW_COMPRESSED), (0.0, Mode.VANILLA)],
)
def test_the_windows_of_an_epoch_are_known_before_it_is_planned(rate, mode):
    for documents in (range(40), range(7, 30)):
        spec = replace(SPEC, schedule=Schedule.constant(rate, mode), documents=documents, num_samples=None)
        assert epoch_windows(spec, SIZES) == len(build(spec, SIZES))


# Documents as long as an index can tell: a number of 32 bits anywhere would show.
HUGE = DocumentSizes(np.array([2**31 - 1, 2**31 - 2, 0], np.int32), np.array([2**31 - 9, 7, 0], np.int32))
# Specials of each form, and how often it has the raw and the compressed view.
CONTENTS = {
    Form.RAW: (3, 1, 0),
    Form.COMPRESSED: (3, 0, 1),
    Form.RAW_COMPRESSED: (5, 1, 1),
    Form.COMPRESSED_RAW: (5, 1, 1),
    Form.PARALLEL_RC: (6, 1, 1),
    Form.PARALLEL_CR: (6, 1, 1),
    Form.VANILLA_RAW: (1, 1, 0),
    Form.VANILLA_COMPRESSED: (1, 0, 1),
}


@pytest.mark.parametrize("mode", [Mode.TRANSLATION_RANDOM, Mode.PARALLEL_RANDOM, Mode.VANILLA])
def test_more_ids_than_32_bits_can_count(mode):
    size, samples = 2**22, 4096
    plan = build(PlanSpec(1234, size, Schedule.constant(0.5, mode), 1, samples, range(3), block=1), HUGE)
    begins, source = [0], [(0, 0)]
    for document, form in zip(plan.draw_documents.tolist(), plan.draw_forms.tolist(), strict=True):
        raw, codes = int(HUGE.raw[document]), int(HUGE.codes[document])
        specials, has_raw, has_codes = CONTENTS[Form(form)]
        begins.append(begins[-1] + specials + raw * has_raw + codes * has_codes)
        source.append((source[-1][0] + raw * has_raw, source[-1][1] + raw * has_codes))
    source.append(source[-1])
    assert 2**33 < samples * size <= begins[-1]
    for window, (draw, offset) in enumerate(plan.sample_index.tolist()):
        assert begins[draw] + offset == window * size
        assert (source[draw] <= plan.source_bytes[window]).all()
        assert (plan.source_bytes[window] <= source[draw + 1]).all()
    assert plan.source_bytes_after(samples)[0] > 2**32


@pytest.mark.long
@settings(deadline=None, max_examples=30)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 7))
def test_a_longer_run_begins_with_the_shorter_one(samples, more, block):
    spec = replace(SPEC, num_samples=samples, horizon_samples=50, block=block)
    short, long = build(spec, SIZES), build(replace(spec, num_samples=samples + more), SIZES)
    assert len(short) >= samples
    assert len(long) >= samples + more
    for name in ("draw_documents", "draw_forms", "sample_index", "shuffle", "source_bytes"):
        array = getattr(short, name)
        np.testing.assert_array_equal(array, getattr(long, name)[: len(array)], err_msg=name)


def test_the_last_row_is_the_end_of_the_last_window():
    plan = build(SPEC, SIZES)
    assert len(plan) == 332
    assert plan.sample_index.shape == (333, 2)
    assert sorted(plan.shuffle.tolist()) == list(range(332))
    # Draws are planned as far as the last window goes, and no further.
    assert plan.sample_index[-1, 0] in (len(plan.draw_documents) - 1, len(plan.draw_documents))


def test_windows_move_inside_their_block_only():
    plan = build(replace(SPEC, block=50), SIZES)
    assert (plan.shuffle // 50 == np.arange(len(plan)) // 50).all()
    assert (plan.shuffle != np.arange(len(plan))).mean() > 0.9


def test_one_epoch_has_each_document_once():
    plan = build(replace(SPEC, num_samples=None, keep_partial=True), SIZES)
    assert sorted(plan.draw_documents.tolist()) == list(range(40))
    assert plan.sample_index[-1].tolist() == [40, 0]
    dropped = build(replace(SPEC, num_samples=None), SIZES)
    assert len(dropped) == len(plan) - 1


def test_a_stretch_of_the_documents():
    plan = build(replace(SPEC, documents=range(10, 13)), SIZES)
    assert set(plan.draw_documents.tolist()) == {10, 11, 12}


def test_a_draw_belongs_to_the_step_in_which_it_begins():
    schedule = replace(ALL_MODES, steady_mode=Mode.VANILLA)
    plan = build(replace(SPEC, schedule=schedule), SIZES)
    raw, codes = SIZES.raw[plan.draw_documents].astype(np.int64), SIZES.codes[plan.draw_documents].astype(np.int64)
    lengths = form_lengths(plan.draw_forms, raw, codes)
    begins = np.cumsum(lengths) - lengths
    for step, first in zip(schedule.steps(), plan.step_draws.tolist(), strict=True):
        assert first == np.searchsorted(begins, step.begin * 300 * 64)
    vanilla = np.isin(plan.draw_forms, [Form.VANILLA_RAW, Form.VANILLA_COMPRESSED])
    assert (vanilla == ((begins >= 0.4 * 300 * 64) & (begins < 0.7 * 300 * 64))).all()


def test_budget_of_a_sample():
    plan = build(SPEC, SIZES)
    assert plan.source_bytes_after(0) == (0, 0)
    assert plan.source_bytes_after(7) == tuple(plan.source_bytes[7].tolist())
    assert plan.source_bytes_after(10**9) == tuple(plan.source_bytes[-1].tolist())


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
def test_bytes_of_an_epoch_add_up_to_the_views(mode, rate):
    spec = replace(SPEC, schedule=Schedule.constant(rate, mode), num_samples=None, keep_partial=True)
    plan = build(spec, SIZES)
    raw, compressed = plan.source_bytes_after(len(plan))
    total = int(SIZES.raw.sum())
    pairs = np.isin(plan.draw_forms, [Form.RAW_COMPRESSED, Form.COMPRESSED_RAW, Form.PARALLEL_RC, Form.PARALLEL_CR])
    assert raw + compressed == total + SIZES.raw[plan.draw_documents[pairs]].sum()
    if rate in (0.0, 1.0):
        assert (raw, compressed) == ((total, 0) if rate == 0.0 else (0, total))


def test_empty_documents_end():
    nothing = np.zeros(3, np.int32)
    for mode, length in ((Mode.VANILLA, 1), (Mode.SENTINEL, 3), (Mode.PARALLEL_RANDOM, 6), (Mode.INTERLEAVED, 1)):
        spec = PlanSpec(0, 12, Schedule.constant(0.5, mode), 10, 10, range(3))
        sizes = DocumentSizes(nothing, nothing, spans_of([0, 0, 0], []))
        plan = build(spec, sizes)
        assert len(plan.draw_forms) == 120 // length
        assert plan.source_bytes_after(10) == (0, 0)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"seq_length": 7}, ConfigurationError, "--seq-length: a sequence of 7 ids is too short"),
        ({"horizon_samples": 0}, ConfigurationError, "--proxy-horizon-samples: must be at least 1, not 0"),
        ({"num_samples": 0}, ConfigurationError, "--train-samples: must be at least 1"),
        ({"block": 0}, ConfigurationError, "--proxy-shuffle-block: must be at least 1"),
        ({"documents": range(3, 3)}, DatasetError, "--split: this split has no documents"),
        ({"documents": range(0, 8, 2)}, DatasetError, "not a stretch"),
    ],
)
def test_bad_specs(changes, error, message):
    with pytest.raises(error, match=message):
        replace(SPEC, **changes)


def test_documents_outside_the_views():
    with pytest.raises(DatasetError, match="which have 40"):
        build(replace(SPEC, documents=range(41)), SIZES)


def test_documents_that_fill_no_window():
    with pytest.raises(DatasetError, match="less than one sample of 100,000"):
        build(replace(SPEC, num_samples=None, seq_length=100_000), SIZES)


def test_views_of_different_corpora():
    with pytest.raises(DatasetError, match="different numbers of documents: 3, 4"):
        DocumentSizes(np.ones(3, np.int32), np.ones(4, np.int32))
    with pytest.raises(DatasetError, match="different numbers of documents: 3, 40"):
        DocumentSizes(np.ones(3, np.int32), np.ones(3, np.int32), SIZES.spans)


def test_interleaved_needs_spans():
    with pytest.raises(ConfigurationError, match="--proxy-mode"):
        build(SPEC, sizes_of(40, spans=False))


def test_spans_that_do_not_add_up():
    with pytest.raises(DatasetError, match="do not add up"):
        build(SPEC, replace(SIZES, raw=SIZES.raw + np.int32(1)))
    with pytest.raises(DatasetError, match="do not add up"):
        build(SPEC, replace(SIZES, codes=SIZES.codes + np.int32(1)))


def test_negative_lengths():
    with pytest.raises(DatasetError, match="negative length"):
        build(SPEC, replace(SIZES, raw=SIZES.raw - np.int32(1000)))


def test_default_block():
    assert [default_block(horizon) for horizon in (1, 255, 256, 2560, 10**9)] == [1, 1, 1, 10, 4096]


def test_the_description_tells_plans_apart():
    def text(**changes):
        return json.dumps(replace(SPEC, **changes).description(), sort_keys=True)

    changed = [
        {"seed": 5},
        {"seq_length": 65},
        {"schedule": Schedule()},
        {"horizon_samples": 301},
        {"num_samples": 1000},
        {"num_samples": None},
        {"documents": range(1, 40)},
        {"block": 5},
        {"keep_partial": True},
    ]
    assert len({text(), *(text(**changes) for changes in changed)}) == 1 + len(changed)
    # What gives the same plan has the same description: blocks are planned whole, and 300 // 256 is the default.
    assert text(num_samples=332) == text(num_samples=330)
    assert text(block=1) == text(block=None)
