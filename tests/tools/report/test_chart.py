"""Lines of very many points: what is left out would not be seen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from megatron_proxy.tools.report import chart
from megatron_proxy.tools.report.chart import thinned


def test_short_lines_stay_as_they_are():
    points = [(x / 7, x % 3) for x in range(chart._MOST_POINTS)]
    assert thinned(points) == points


def test_of_each_pixel_the_ends_and_the_extremes_are_left(monkeypatch):
    monkeypatch.setattr(chart, "_MOST_POINTS", 5)
    points = [(0.1, 5), (0.2, 1), (0.3, 4), (0.4, 9), (0.5, 9), (0.9, 6), (1.0, 2), (2.5, 7), (2.6, 7), (2.7, 7)]
    left = [(0.1, 5), (0.2, 1), (0.4, 9), (0.9, 6), (1.0, 2), (2.5, 7), (2.7, 7)]
    assert thinned(points) == left


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 100)), min_size=1, max_size=80))
def test_no_extreme_is_lost(points):
    points = sorted(points)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chart, "_MOST_POINTS", 0)
        left = thinned(points)
    assert len(left) <= 4 * 6
    assert left == sorted(left)
    for column in range(6):
        heights, kept = ([y for x, y in some if int(x) == column] for some in (points, left))
        assert (min(heights, default=0), max(heights, default=0)) == (min(kept, default=0), max(kept, default=0))
