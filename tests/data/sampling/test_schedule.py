"""The schedule at its edges."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from megatron_proxy.data.sampling.schedule import Mix, Mode, Schedule
from megatron_proxy.errors import ConfigurationError


def test_the_papers_schedule():
    schedule = Schedule()
    assert schedule.at(0.0) == Mix(0.4, Mode.TRANSLATION_RANDOM)
    assert schedule.at(0.1) == Mix(pytest.approx(0.65), Mode.TRANSLATION_RANDOM)
    assert schedule.at(0.2) == Mix(0.9, Mode.SENTINEL)
    assert schedule.at(1.0) == Mix(0.9, Mode.SENTINEL)
    assert schedule.at(7.0) == Mix(0.9, Mode.SENTINEL)


def test_decay_reaches_the_final_rate_and_stays():
    schedule = Schedule(peak_rate=0.8, final_rate=0.2, decay=0.2, final_mode=Mode.VANILLA)
    assert schedule.at(0.79999) == Mix(0.8, Mode.SENTINEL)
    assert schedule.at(0.8) == Mix(0.8, Mode.VANILLA)
    assert schedule.at(0.9) == Mix(pytest.approx(0.5), Mode.VANILLA)
    assert schedule.at(1.0) == Mix(0.2, Mode.VANILLA)


def test_a_short_steady_phase_brings_the_decay_forward():
    schedule = Schedule(warmup=0.1, steady=0.2, decay=0.1, final_rate=0.0)
    assert schedule.at(0.35).rate == pytest.approx(0.45)
    assert schedule.at(0.5).rate == 0.0


def test_without_phases_the_final_setting_holds_from_the_start():
    schedule = Schedule(warmup=0.0, steady=0.0, final_rate=0.3)
    assert [tuple(step) for step in schedule.steps()] == [(0.0, math.inf, 0.3, Mode.SENTINEL)]


# Of shorter phases, rounding leaves too little for the comparison: 2^-53 of the whole is a millionth of 1e-10.
fractions = st.just(0.0) | st.floats(1e-9, 0.5)


@pytest.mark.long
@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), fractions, st.none() | st.floats(0, 0.01), fractions)
def test_steps_cover_everything_and_agree_with_at(initial, peak, final, warmup, steady, decay):
    if warmup + (steady or 0.0) + decay > 1.0:
        return
    schedule = Schedule(initial, peak, final, warmup, steady, decay)
    steps = schedule.steps()
    assert len(steps) <= 1024
    assert steps[0].begin == 0.0
    assert steps[-1].end == math.inf
    assert all(left.end == right.begin for left, right in itertools.pairwise(steps))
    for step in steps:
        middle = step.begin + 1.0 if step.end == math.inf else (step.begin + step.end) / 2
        if step.begin < middle < step.end:
            assert schedule.at(middle).rate == pytest.approx(step.rate, abs=1e-6)
            assert schedule.at(middle).mode == step.mode


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        ({"peak_rate": 1.01}, "--proxy-peak-rate"),
        ({"initial_rate": -0.1}, "--proxy-initial-rate"),
        ({"final_rate": math.nan}, "--proxy-final-rate"),
        ({"warmup": -0.1}, "--proxy-warmup-fraction"),
        ({"warmup": 0.6, "decay": 0.5}, "--proxy-decay-fraction"),
        ({"steady": 0.9, "decay": 0.1}, "the phases take 1.2 of the horizon"),
    ],
)
def test_bad_settings_name_the_flag(settings, where):
    with pytest.raises(ConfigurationError, match=where):
        Schedule(**settings)


def test_modes_in_order_of_appearance():
    assert Schedule().modes == (Mode.TRANSLATION_RANDOM, Mode.SENTINEL)


def test_a_ramp_ends_where_the_next_phase_begins():
    steps = Schedule(warmup=1e-9).steps()
    assert steps[499].end == steps[500].begin == 1e-9


def test_a_constant_schedule():
    schedule = Schedule.constant(0.5, Mode.VANILLA)
    assert {(step.rate, step.mode) for step in schedule.steps()} == {(0.5, Mode.VANILLA)}
    assert schedule.modes == (Mode.VANILLA,)
