"""Sliding windows: every id once, context as long as it can be, openers as in training."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from megatron_proxy.evaluation.windows import IdStream, windows
from megatron_proxy.vocab import COMPRESSED_OPEN, EOS, RAW_CLOSE, RAW_OPEN

A, B, C, D, E, F = range(65, 71)


def listed(stream, context, stride):
    return [
        (window.inputs.tolist(), window.targets.tolist(), window.begin, window.skip)
        for window in windows(stream, context, stride)
    ]


def test_a_short_stream_is_one_window():
    stream = IdStream(np.array([A, B, C]), RAW_OPEN)
    assert listed(stream, 8, 2) == [([RAW_OPEN, A, B], [A, B, C], 0, 0)]
    assert listed(IdStream(np.zeros(0, dtype=np.int64), RAW_OPEN), 8, 2) == []


def test_windows_slide_by_the_stride():
    stream = IdStream(np.array([A, B, C, D, E, F]), RAW_OPEN)
    assert listed(stream, 3, 2) == [
        ([RAW_OPEN, A, B], [A, B, C], 0, 0),
        ([RAW_OPEN, C, D], [C, D, E], 3, 1),
        ([RAW_OPEN, D, E], [D, E, F], 5, 2),
    ]
    assert listed(stream, 3, 3) == [([RAW_OPEN, A, B], [A, B, C], 0, 0), ([RAW_OPEN, D, E], [D, E, F], 3, 0)]


def test_a_window_is_opened_by_the_special_in_force():
    ids = np.array([RAW_OPEN, A, RAW_CLOSE, EOS, COMPRESSED_OPEN, 400, 401])
    openers = [window.inputs[0] for window in windows(IdStream(ids, EOS), 1, 1)]
    assert openers == [EOS, RAW_OPEN, RAW_OPEN, RAW_CLOSE, EOS, COMPRESSED_OPEN, COMPRESSED_OPEN]


def test_without_sentinels_a_window_is_opened_by_the_id_before_it():
    stream = IdStream(np.array([A, B, C, D]), EOS, reopen=False)
    assert listed(stream, 2, 2) == [([EOS, A], [A, B], 0, 0), ([B, C], [C, D], 2, 0)]


@given(st.integers(0, 200), st.integers(1, 40), st.data())
def test_every_id_is_scored_exactly_once(length, context, data):
    stride = data.draw(st.integers(1, context))
    ids = np.arange(100, 100 + length)
    scored = []
    for window in windows(IdStream(ids, RAW_OPEN), context, stride):
        assert len(window.inputs) == len(window.targets) <= context
        assert window.inputs[1:].tolist() == window.targets[:-1].tolist()
        own = window.targets[window.skip :]
        assert own[0] == ids[window.begin]
        # Context is as long as the window allows.
        assert window.skip == min(window.begin, context - len(own))
        scored += own.tolist()
    assert scored == ids.tolist()


@pytest.mark.parametrize("stride", [1, 3, 8])
def test_more_context_with_a_smaller_stride(stride):
    least = min(w.skip for w in windows(IdStream(np.arange(100, 164), RAW_OPEN), 8, stride) if w.begin)
    assert least == 8 - stride
