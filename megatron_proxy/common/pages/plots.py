"""Small plots inside pages: lines and groups of bars, of one size. What stands by itself, on white: rows of dots."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from . import svg
from .svg import COLOURS, Axis, Picture, Plot

_WIDTH: Final = 460
_HEIGHT: Final = 280
_LEFT: Final = 58
_RIGHT: Final = _WIDTH - 14
_TOP: Final = 14
_BOTTOM: Final = _HEIGHT - 44
_ROW: Final = 22
LETTERS: Final[dict[str, svg.Attribute]] = {"font_family": "sans-serif", "font_size": 12, "fill": "#222222"}
"""Of names in a picture that stands by itself."""


@dataclass(frozen=True)
class Series:
    """One line or group of bars: its name, and points (x, y)."""

    name: str
    points: Sequence[tuple[float, float]]


def lines(series: Sequence[Series], x_label: str, y_label: str, *, log_x: bool = True, log_y: bool = False) -> str:
    """A line with dots for each series."""
    points = [point for one in series for point in one.points if point[0] > 0 and (point[1] > 0 or not log_y)]
    if not points:
        return ""
    xs, ys = [x for x, _ in points], [y for _, y in points]
    low = min(ys) if log_y else 0.0
    y_axis = Axis(low, max(ys) * (1.0 if log_y else 1.05) or 1.0, log_y, _BOTTOM, _TOP)
    plot = Plot(Axis(min(xs), max(xs), log_x, _LEFT, _RIGHT), y_axis)
    picture = _framed(plot, f"{y_label} by {x_label}", y_label)
    picture.add(*plot.numbers_below(), plot.name_below(x_label))
    for number, one in enumerate(series):
        colour = COLOURS[number % len(COLOURS)]
        places = [plot.at(x, y) for x, y in one.points]
        picture.add(svg.line(places, colour, 1.8))
        if len(places) <= 40:
            picture.add(*(svg.circle(x, y, 2.6, fill=colour) for x, y in places))
    return picture.inline()


def bars(groups: Sequence[str], series: Sequence[Series], y_label: str) -> str:
    """Bars on a scale from 0 to 1, or to the highest: one group per name, one bar in it per series.

    A point's x is its group's place, its y at least 0.
    """
    high = max([1.0, *(y for one in series for _, y in one.points)])
    plot = Plot(Axis(0.0, len(groups), False, _LEFT, _RIGHT), Axis(0.0, high, False, _BOTTOM, _TOP))
    picture = _framed(plot, y_label, y_label)
    room = (_RIGHT - _LEFT) / len(groups)
    width = 0.8 * room / max(1, len(series))
    for number, one in enumerate(series):
        for x, y in one.points:
            left, top = plot.at(x + 0.1, y)
            size = max(1.0, width - 1), _BOTTOM - top
            title = svg.element("title", f"{escape(one.name)}: {y:.3f}")
            picture.add(svg.rectangle(left + number * width, top, *size, title, fill=COLOURS[number % len(COLOURS)]))
    for place, group in enumerate(groups):
        picture.add(svg.text(plot.x.place(place + 0.5), _BOTTOM + 16, group, text_anchor="middle"))
    return picture.inline()


def dots(rows: Mapping[str, Sequence[float]], title: str, x_label: str, marked: str) -> Picture:
    """A row for each name, the lowest mean first: a dot for each value, and a stroke at their mean.

    The row called ``marked``, which the others are compared with, has a colour of its own.
    """
    means = {name: math.fsum(values) / len(values) for name, values in rows.items()}
    several = [value for values in rows.values() for value in values]
    bottom = 12 + _ROW * len(rows)
    picture = Picture(760, bottom + 54, title)
    plot = on_white(Axis(min(several), max(several), False, 250, 720), Axis(0, 1, False, bottom, 12))
    picture.add(*plot.columns(), *plot.numbers_below(marks=False), plot.name_below(x_label, 34))
    for number, name in enumerate(sorted(rows, key=means.__getitem__)):
        y = 12 + _ROW * (number + 0.5)
        colour = COLOURS[0] if name == marked else COLOURS[1]
        mean = plot.x.place(means[name])
        picture.add(svg.text(220, y + 4, name, **LETTERS, text_anchor="end"))
        picture.add(svg.line([(mean, y - 7), (mean, y + 7)], colour, 2))
        picture.add(*(svg.circle(plot.x.place(value), y, 4, fill=colour, fill_opacity=0.6) for value in rows[name]))
    return picture


def on_white(x: Axis, y: Axis) -> Plot:
    """Axes of a picture that stands by itself."""
    numbers = {**LETTERS, "font_size": 11}
    return Plot(x, y, "#222222", "#dddddd", lettering=LETTERS, numbers=numbers)


def legend(names: Sequence[str]) -> str:
    """The names of the series in their colours."""
    return "".join(
        f'<span class="key"><i style="background:{COLOURS[number % len(COLOURS)]}"></i>{escape(name)}</span>'
        for number, name in enumerate(names)
    )


def _framed(plot: Plot, title: str, y_label: str) -> Picture:
    """A picture with the axes, the numbers and the name of the y axis."""
    return Picture(_WIDTH, _HEIGHT, title, [plot.corner(), *plot.rows(), plot.name_beside(y_label)])
