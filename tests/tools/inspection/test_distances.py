"""Edit distance and common runs, by exact values and against the textbook."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megatron_proxy.tools.inspection.distances import edit_distance, longest_common_run


def plain_distance(left, right):
    """The textbook recurrence."""
    above = list(range(len(right) + 1))
    for i, a in enumerate(left, start=1):
        row = [i]
        for j, b in enumerate(right, start=1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (a != b)))
        above = row
    return above[-1]


@pytest.mark.parametrize(
    ("left", "right", "distance"),
    [
        (b"", b"", 0),
        (b"abc", b"", 3),
        (b"", b"abcd", 4),
        (b"kitten", b"sitting", 3),
        (b"intention", b"execution", 5),
        (b"a" * 200, b"a" * 137, 63),
        (b"a" * 64 + b"b", b"a" * 64, 1),
        (b"a" * 130, b"b" * 130, 130),
    ],
)
def test_known_distances(left, right, distance):
    assert edit_distance(list(left), list(right)) == distance
    assert edit_distance(list(right), list(left)) == distance


def test_symbols_may_be_any_integers():
    assert edit_distance([-5, 2**40, 70_000], [2**40, 70_000, 7]) == 2
    assert edit_distance(np.array([1, 2], np.uint16), np.array([1, 70_000], np.int32)) == 1


@pytest.mark.long
@settings(deadline=None)
@given(st.data())
def test_agrees_with_the_textbook(data):
    symbols = st.integers(0, data.draw(st.sampled_from([1, 3, 1000])))
    left = data.draw(st.lists(symbols, max_size=150))
    right = data.draw(st.lists(symbols, max_size=150))
    assert edit_distance(left, right) == plain_distance(left, right)


def test_four_thousand_symbols_are_quick():
    symbols = np.arange(4_000)
    edit_distance(symbols, symbols[::2])
    begin = time.perf_counter()
    assert edit_distance(symbols, symbols[400:]) == 400
    assert edit_distance(symbols, symbols[::-1]) == 4_000
    assert time.perf_counter() - begin < 1.0


def test_longest_common_run():
    assert longest_common_run([1, 2, 3, 4, 9], [7, 2, 3, 4, 1]) == 3
    assert longest_common_run([1, 1, 1], [1, 1]) == 2
    assert longest_common_run([], [1]) == 0
    assert longest_common_run([1, 2], [3, 4]) == 0
