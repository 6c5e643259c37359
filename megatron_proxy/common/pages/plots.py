"""Small plots as SVG, written by hand: a page with them needs nothing else, and the package no plotting library."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

COLOURS: Final = ("#1f6f8b", "#c8553d", "#588157", "#8e6c8a", "#d9a441", "#6c6fb0", "#a44a3f", "#5f9ea0")

_WIDTH: Final = 460
_HEIGHT: Final = 280
_LEFT: Final = 58
_BOTTOM: Final = 44
_TOP: Final = 14
_RIGHT: Final = 14


@dataclass(frozen=True)
class Series:
    """One line or group of bars: its name, and points (x, y)."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Axis:
    """Values between ``low`` and ``high`` to places between ``begin`` and ``end``, evenly or by logarithm."""

    low: float
    high: float
    log: bool
    begin: float
    end: float

    def place(self, value: float) -> float:
        """Where a value lies on the page."""
        low, high, value = (
            (math.log10(v) for v in (self.low, self.high, value)) if self.log else (self.low, self.high, value)
        )
        share = (value - low) / (high - low) if high > low else 0.5
        return self.begin + share * (self.end - self.begin)

    def ticks(self) -> list[float]:
        """Round values along the axis."""
        if self.log:
            first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
            every = max(1, (last - first + 1) // 6)
            return [10.0**power for power in range(first, last + 1, every)]
        step = 10.0 ** math.floor(math.log10(max(self.high - self.low, 1e-9)))
        step = next(s for s in (step / 5, step / 2, step, 2 * step) if (self.high - self.low) / s <= 6)
        return [step * n for n in range(math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9) + 1)]


def lines(series: Sequence[Series], x_label: str, y_label: str, *, log_x: bool = True, log_y: bool = False) -> str:
    """A line with dots for each series."""
    points = [point for one in series for point in one.points if point[0] > 0 and (point[1] > 0 or not log_y)]
    if not points:
        return ""
    xs, ys = [x for x, _ in points], [y for _, y in points]
    x_axis = Axis(min(xs), max(xs), log_x, _LEFT, _WIDTH - _RIGHT)
    low = min(ys) if log_y else 0.0
    y_axis = Axis(low, max(ys) * (1.0 if log_y else 1.05) or 1.0, log_y, _HEIGHT - _BOTTOM, _TOP)
    body = _frame(x_axis, y_axis, x_label, y_label)
    for number, one in enumerate(series):
        colour = COLOURS[number % len(COLOURS)]
        places = [(x_axis.place(x), y_axis.place(y)) for x, y in one.points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        body.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.8"/>')
        if len(places) <= 40:
            body += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.6" fill="{colour}"/>' for x, y in places]
    return _svg(body, f"{y_label} by {x_label}")


def bars(groups: Sequence[str], series: Sequence[Series], y_label: str) -> str:
    """Bars on a scale from 0 to 1, or to the highest: one group per name, one bar in it per series.

    A point's x is its group's place, its y at least 0.
    """
    high = max([1.0, *(y for one in series for _, y in one.points)])
    y_axis = Axis(0.0, high, False, _HEIGHT - _BOTTOM, _TOP)
    room = (_WIDTH - _LEFT - _RIGHT) / len(groups)
    width = 0.8 * room / max(1, len(series))
    body = _frame(None, y_axis, "", y_label)
    for number, one in enumerate(series):
        for x, y in one.points:
            left = _LEFT + (x + 0.1) * room + number * width
            top = y_axis.place(y)
            body.append(
                f'<rect x="{left:.1f}" y="{top:.1f}" width="{max(1.0, width - 1):.1f}" '
                f'height="{_HEIGHT - _BOTTOM - top:.1f}" fill="{COLOURS[number % len(COLOURS)]}">'
                f"<title>{escape(one.name)}: {y:.3f}</title></rect>"
            )
    for place, group in enumerate(groups):
        middle = _LEFT + (place + 0.5) * room
        body.append(f'<text x="{middle:.1f}" y="{_HEIGHT - _BOTTOM + 16}" text-anchor="middle">{escape(group)}</text>')
    return _svg(body, y_label)


def legend(names: Sequence[str]) -> str:
    """The names of the series in their colours."""
    return "".join(
        f'<span class="key"><i style="background:{COLOURS[number % len(COLOURS)]}"></i>{escape(name)}</span>'
        for number, name in enumerate(names)
    )


def _svg(body: Sequence[str], title: str) -> str:
    content = "".join(body)
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">{content}</svg>'


def _frame(x_axis: Axis | None, y_axis: Axis, x_label: str, y_label: str) -> list[str]:
    """Axes, ticks and labels."""
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    body = [f'<path d="M{_LEFT} {_TOP}V{bottom}H{right}" fill="none" stroke="#888"/>']
    for value in y_axis.ticks():
        y = y_axis.place(value)
        body.append(f'<path d="M{_LEFT} {y:.1f}H{right}" stroke="#8883"/>')
        body.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{short(value)}</text>')
    for value in x_axis.ticks() if x_axis else []:
        x = x_axis.place(value) if x_axis else 0.0
        body.append(f'<path d="M{x:.1f} {bottom}v4" stroke="#888"/>')
        body.append(f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{short(value)}</text>')
    body.append(f'<text x="{(_LEFT + right) / 2}" y="{_HEIGHT - 8}" text-anchor="middle">{escape(x_label)}</text>')
    middle = (_TOP + bottom) / 2
    body.append(
        f'<text x="14" y="{middle}" text-anchor="middle" transform="rotate(-90 14 {middle})">{escape(y_label)}</text>'
    )
    return body


def short(value: float) -> str:
    """A value as the label of a tick."""
    if value >= 1e15:
        return f"{value:.3g}".replace("e+", "e")
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:.3g}"
