"""Planned draws follow the paper's formulas within sampling error, over the whole schedule.

Rates, segment ratios and pair shares are measured in stretches of progress, and compared with the rate at each draw's
own progress. Bounds are 5 standard deviations of the counts.
"""

import numpy as np
import pytest
from memory_views import spans_of

from megatron_proxy.data.sampling.draws import Form, form_lengths
from megatron_proxy.data.sampling.plan import DocumentSizes, PlanSpec
from megatron_proxy.data.sampling.planner import build
from megatron_proxy.data.sampling.schedule import Mode, Schedule

DOCUMENTS, SPANS, SPAN_BYTES, SPAN_CODES = 500, 6, 40, 13
HORIZON, SEQ_LENGTH, STRETCHES = 40_000, 128, 20

generator = np.random.default_rng(11)
RAW = generator.integers(30, 300, DOCUMENTS).astype(np.int32)
SIZES = DocumentSizes(RAW, (RAW / 3).astype(np.int32))
PAIRS = [Form.RAW_COMPRESSED, Form.COMPRESSED_RAW, Form.PARALLEL_RC, Form.PARALLEL_CR]
COMPRESSED = [Form.COMPRESSED, Form.VANILLA_COMPRESSED, *PAIRS]
RAW_FORMS = [Form.RAW, Form.VANILLA_RAW, *PAIRS]


def rates_at(progress):
    """The rates of `rising_and_falling`, worked out apart from it."""
    return np.interp(progress, [0.0, 0.4, 0.7, 1.0], [0.1, 0.9, 0.9, 0.2])


def rising_and_falling(mode):
    return Schedule(0.1, 0.9, 0.2, warmup=0.4, decay=0.3, warmup_mode=mode, steady_mode=mode, final_mode=mode)


def planned(mode):
    """Forms, and the rate in force at each draw's own progress, for rates that rise, stay and fall."""
    plan = build(PlanSpec(99, SEQ_LENGTH, rising_and_falling(mode), HORIZON, HORIZON, range(DOCUMENTS)), SIZES)
    documents = plan.draw_documents
    lengths = form_lengths(plan.draw_forms, SIZES.raw[documents].astype(int), SIZES.codes[documents].astype(int))
    progress = (np.cumsum(lengths) - lengths) / (HORIZON * SEQ_LENGTH)
    return plan.draw_forms, rates_at(progress), np.minimum((progress * STRETCHES).astype(int), STRETCHES - 1)


def close(seen, chance):
    """Whether the number of successes fits their chances."""
    return abs(seen.sum() - chance.sum()) <= 5 * np.sqrt((chance * (1 - chance)).sum()) + 1


@pytest.mark.parametrize("mode", [Mode.VANILLA, Mode.SENTINEL])
def test_the_share_of_compressed_draws_is_the_rate(mode):
    forms, rates, stretch = planned(mode)
    compressed = np.isin(forms, COMPRESSED)
    assert len(forms) > 40_000
    assert close(compressed, rates)
    for part in range(STRETCHES):
        assert close(compressed[stretch == part], rates[stretch == part])


@pytest.mark.long
@pytest.mark.parametrize("mode", [mode for mode in Mode if "_" in mode])
def test_pairing_modes(mode):
    forms, rates, stretch = planned(mode)
    pairs, compressed, raw = np.isin(forms, PAIRS), np.isin(forms, COMPRESSED), np.isin(forms, RAW_FORMS)
    low = rates <= 0.5
    assert not (forms[low] == Form.COMPRESSED).any()
    assert not (forms[~low] == Form.RAW).any()
    chance = np.where(low, rates / (1 - rates), 1 / rates - 1)
    assert close(pairs, chance)
    for part in range(STRETCHES):
        here = stretch == part
        assert close(pairs[here], chance[here])
        # The ratio of compressed to raw segments is r : (1 - r).
        segments = compressed[here].sum() + raw[here].sum()
        weights = compressed[here].astype(float) + raw[here]
        expected = (rates[here] * weights).sum() / segments
        assert abs(compressed[here].sum() / segments - expected) <= 5 * 0.5 / np.sqrt(segments)


@pytest.mark.long
@pytest.mark.parametrize("mode", [Mode.TRANSLATION_RANDOM, Mode.PARALLEL_RANDOM])
def test_random_order_is_fair_and_independent_of_the_form(mode):
    forms, _, stretch = planned(mode)
    for part in range(STRETCHES):
        order = forms[(stretch == part) & np.isin(forms, PAIRS)]
        raw_first = np.isin(order, [Form.RAW_COMPRESSED, Form.PARALLEL_RC])
        assert close(raw_first, np.full(len(order), 0.5))


@pytest.mark.long
def test_interleaved_spans_follow_the_rate():
    raw = np.full(DOCUMENTS, SPANS * SPAN_BYTES, np.int32)
    codes = np.full(DOCUMENTS, SPANS * SPAN_CODES, np.int32)
    spans = np.tile(np.array([[SPAN_BYTES, SPAN_CODES]], np.uint16), (DOCUMENTS * SPANS, 1))
    sizes = DocumentSizes(raw, codes, spans_of(np.full(DOCUMENTS, SPANS), spans))
    plan = build(
        PlanSpec(99, SEQ_LENGTH, rising_and_falling(Mode.INTERLEAVED), HORIZON, HORIZON, range(DOCUMENTS), block=1),
        sizes,
    )
    width = HORIZON // STRETCHES
    for begin in range(0, HORIZON, width):
        seen = np.diff(plan.source_bytes[[begin, begin + width]], axis=0)[0]
        # Bytes are read faster where more is compressed, so the rate is weighed by bytes.
        bytes_of_sample = np.diff(plan.source_bytes[begin : begin + width + 1], axis=0).sum(axis=1)
        rates = rates_at((np.arange(begin, begin + width) + 0.5) / HORIZON)
        expected = (rates * bytes_of_sample).sum() / seen.sum()
        spans_read = seen.sum() / SPAN_BYTES
        assert abs(seen[1] / seen.sum() - expected) <= 5 * 0.5 / np.sqrt(spans_read)


def test_documents_are_drawn_evenly_and_in_another_order_each_epoch():
    plan = build(PlanSpec(99, SEQ_LENGTH, Schedule(), HORIZON, HORIZON, range(DOCUMENTS)), SIZES)
    epochs = plan.draw_documents[: len(plan.draw_documents) // DOCUMENTS * DOCUMENTS].reshape(-1, DOCUMENTS)
    assert len(epochs) > 100
    assert (np.sort(epochs, axis=1) == np.arange(DOCUMENTS)).all()
    # How often a document comes in the first half of an epoch is binomial.
    first_half = np.zeros(DOCUMENTS)
    np.add.at(first_half, epochs[:, : DOCUMENTS // 2].ravel(), 1)
    assert abs(first_half - len(epochs) / 2).max() <= 5 * np.sqrt(len(epochs) / 4)


def test_forms_do_not_depend_on_documents():
    plan = build(
        PlanSpec(99, SEQ_LENGTH, Schedule.constant(0.5, Mode.SENTINEL), HORIZON, HORIZON, range(DOCUMENTS)), SIZES
    )
    for document in range(0, DOCUMENTS, 50):
        mine = plan.draw_forms[plan.draw_documents == document] == Form.COMPRESSED
        assert close(mine, np.full(len(mine), 0.5))
