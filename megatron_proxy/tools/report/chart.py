"""BPB of both views and the schedule, one under the other on one x axis, several runs in each panel.

Runs are told apart by colour, dash and marker, and named at the right end of their lines: colour alone says nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final, NamedTuple

from ...common.pages.plots import COLOURS, Axis, short
from .runs import VIEWS, Run, interpolated

_WIDTH: Final = 940
_LEFT: Final = 62
_RIGHT: Final = 210
_TOP: Final = 12
_GAP: Final = 26
_FOOT: Final = 46
_TALL: Final = 230
_LOW: Final = 110
_LABEL: Final = 13
_NAME: Final = 28
_WORD: Final = 110
_DASHES: Final = ("", "7 3", "2 3", "9 3 2 3", "4 2", "12 4", "1 4", "6 2 1 2 1 2")
_MARKERS: Final = ("circle", "square", "triangle", "diamond", "wedge", "hexagon", "plus", "slab")
# More markers than this on a line hide it.
_MOST_MARKERS: Final = 25
# Longer lines are thinned: a page of a hundred thousand points per line is of no use to a browser.
_MOST_POINTS: Final = 3_000
# The steep beginning of a run would leave no room for its end: values of the first so much are cut off.
_BEGINNING: Final = 0.08


def thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points that a line through all of them needs: of each pixel's width the first, the last and the extremes."""
    if len(points) <= _MOST_POINTS:
        return list(points)
    kept: list[tuple[float, float]] = []
    for _, column in itertools.groupby(range(len(points)), key=lambda number: int(points[number][0])):
        numbers = list(column)
        heights = [points[number][1] for number in numbers]
        low, high = (numbers[heights.index(extreme)] for extreme in (min(heights), max(heights)))
        kept += [points[number] for number in sorted({numbers[0], low, high, numbers[-1]})]
    return kept


@dataclass(frozen=True)
class Look:
    """How a run is drawn everywhere on the page."""

    colour: str
    dash: str
    marker: str

    @classmethod
    def of(cls, number: int) -> Look:
        """The look of the run of this number."""
        return cls(COLOURS[number % len(COLOURS)], _DASHES[number % len(_DASHES)], _MARKERS[number % len(_MARKERS)])

    def line(self, points: Sequence[tuple[float, float]], *, faint: bool = False) -> str:
        """A line through places."""
        dash = f' stroke-dasharray="{self.dash}"' if self.dash else ""
        dash += ' stroke-opacity="0.75"' if faint else ""
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in thinned(points))
        return f'<polyline points="{path}" fill="none" stroke="{self.colour}" stroke-width="1.7"{dash}/>'

    def mark(self, x: float, y: float, size: float = 3.4, *, hollow: bool = False) -> str:
        """The run's marker at a place."""
        fill = f'fill="none" stroke="{self.colour}" stroke-width="1.8"' if hollow else f'fill="{self.colour}"'
        if self.marker == "circle":
            return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size}" {fill}/>'
        corners = {
            "square": ((-1, -1), (1, -1), (1, 1), (-1, 1)),
            "triangle": ((0, -1.2), (1.1, 0.9), (-1.1, 0.9)),
            "diamond": ((0, -1.35), (1.2, 0), (0, 1.35), (-1.2, 0)),
            "wedge": ((0, 1.2), (1.1, -0.9), (-1.1, -0.9)),
            "hexagon": ((-1.2, 0), (-0.6, -1.1), (0.6, -1.1), (1.2, 0), (0.6, 1.1), (-0.6, 1.1)),
            "plus": tuple(
                (a * x, a * y)
                for a in (1, -1)
                for x, y in ((-0.4, 1.3), (-0.4, 0.4), (-1.3, 0.4), (-1.3, -0.4), (-0.4, -0.4), (-0.4, -1.3))
            ),
            "slab": ((-1.4, -0.6), (1.4, -0.6), (1.4, 0.6), (-1.4, 0.6)),
        }[self.marker]
        path = " ".join(f"{x + size * dx:.1f},{y + size * dy:.1f}" for dx, dy in corners)
        return f'<polygon points="{path}" {fill}/>'


@dataclass(frozen=True)
class Panel:
    """One plot of the stack: its place on the page, and what is in it."""

    top: float
    height: float
    label: str
    axis: Axis


class _Said(NamedTuple):
    """A mode that is written: where, how high it was wanted, and how high it stands."""

    mode: str
    x: float
    wanted: float
    height: float


def chart(runs: Sequence[Run], axis: str) -> str:
    """The figure of ``runs`` against ``axis``, as SVG; empty if no run has anything to show on that axis."""
    shown = [view for view in VIEWS if any(run.points(f"{view} bpb", axis) for run in runs)]
    rates = any(run.points("compressed rate", axis) for run in runs)
    if not shown and not rates:
        return ""
    x_axis = Axis(0.0, max(place for run in runs for _, place in run.places(axis)), False, _LEFT, _WIDTH - _RIGHT)
    parts: list[str] = []
    top = float(_TOP)
    for view in shown:
        panel = _bpb_panel(runs, view, axis, top)
        parts += [*_frame(panel, x_axis), *_view(runs, view, axis, panel, x_axis)]
        top += _TALL + _GAP
    if rates:
        panel = Panel(top, _LOW, "compressed rate", Axis(0.0, 1.0, False, top + _LOW, top))
        parts += [*_frame(panel, x_axis), *_schedule(runs, axis, panel, x_axis)]
        top += _LOW + _GAP
    parts += _x_labels(x_axis, top - _GAP, axis)
    height = top - _GAP + _FOOT
    title = escape(f"Bits per source byte and compressed rate by {axis}")
    return f'<svg viewBox="0 0 {_WIDTH} {height:.0f}" role="img" aria-label="{title}">{"".join(parts)}</svg>'


def alone(svg: str) -> str:
    """A figure of :func:`chart` as a file of its own: with a background, and fonts and colours that need no page."""
    size = svg[svg.index('viewBox="0 0 ') + 13 : svg.index('" role')].split()
    begin = svg.index(">") + 1
    opening = svg[: begin - 1].replace("<svg", f'<svg xmlns="http://www.w3.org/2000/svg" width="{size[0]}"', 1)
    style = "<style>text { font: 12px sans-serif; fill: currentColor; }</style>"
    background = '<rect width="100%" height="100%" fill="#fff"/>'
    return f'{opening} color="#222">{style}{background}{svg[begin:]}\n'


def swatch(look: Look) -> str:
    """A piece of a run's line, for a legend."""
    drawn = look.line([(1, 7), (33, 7)]) + look.mark(17, 7)
    return f'<svg class="swatch" viewBox="0 0 34 14" aria-hidden="true">{drawn}</svg>'


def spread(places: Sequence[float], low: float, high: float, apart: float = _LABEL) -> list[float]:
    """Heights for labels that belong to ``places``, in the same order, at least ``apart`` and within [low, high]."""
    order = sorted(range(len(places)), key=lambda n: places[n])
    heights = [max(low, places[n]) for n in order]
    for n in range(1, len(heights)):
        heights[n] = max(heights[n], heights[n - 1] + apart)
    if heights:
        heights[-1] = min(heights[-1], high)
        for n in range(len(heights) - 2, -1, -1):
            heights[n] = min(heights[n], heights[n + 1] - apart)
        if heights[0] < low:
            heights = [low + apart * n for n in range(len(heights))]
    return [height for _, height in sorted(zip(order, heights, strict=True))]


def _bpb_panel(runs: Sequence[Run], view: str, axis: str, top: float) -> Panel:
    """A panel whose scale leaves out the beginning of every run, if that lies higher than all the rest."""
    end = max(place for run in runs for _, place in run.places(axis))
    series = [run.points(f"{view} bpb", axis) for run in runs]
    series += [run.points(f"{view} bpb", axis, validation=True) for run in runs]
    late = [y for points in series for x, y in points if x >= _BEGINNING * end]
    late += [run.evaluations[view].bpb for run in runs if view in run.evaluations]
    values = late or [y for points in series for _, y in points]
    low, high = min(values), max(values)
    margin = 0.06 * (high - low) or 0.1
    scale = Axis(max(0.0, low - margin), high + margin, False, top + _TALL, top)
    return Panel(top, _TALL, f"{view} view: bits per source byte", scale)


def _view(runs: Sequence[Run], view: str, axis: str, panel: Panel, x_axis: Axis) -> Iterator[str]:
    """The lines of training, the markers of validation, the larger hollow ones of held-out documents, the names."""

    def placed(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
        return [(x_axis.place(x), panel.axis.place(y)) for x, y in points]

    clip = f"{view}-{axis.replace(' ', '-')}"
    yield (
        f'<clipPath id="{clip}"><rect x="{_LEFT}" y="{panel.top - 4}" width="{_WIDTH - _LEFT - _RIGHT + 8}" '
        f'height="{panel.height + 8}"/></clipPath><g clip-path="url(#{clip})">'
    )
    ends: list[tuple[str, Look, float]] = []
    for number, run in enumerate(runs):
        look = Look.of(number)
        line = placed(run.points(f"{view} bpb", axis))
        marks = placed(run.points(f"{view} bpb", axis, validation=True))
        yield look.line(line, faint=bool(marks)) if line else ""
        yield from (look.mark(x, y) for x, y in marks[:: len(marks) // _MOST_MARKERS + 1])
        if (evaluation := run.evaluations.get(view)) and (places := run.places(axis)):
            place = interpolated(places, evaluation.iteration)
            yield look.mark(x_axis.place(place), panel.axis.place(evaluation.bpb), 6, hollow=True)
        if line or marks:
            ends.append((run.name, look, (marks or line)[-1][1]))
    yield "</g>"
    yield from _names(ends, panel)


def _schedule(runs: Sequence[Run], axis: str, panel: Panel, x_axis: Axis) -> Iterator[str]:
    """The rate of every run, and the modes where they begin."""
    ends: list[tuple[str, Look, float]] = []
    said: list[_Said] = []
    for number, run in enumerate(runs):
        look = Look.of(number)
        points = [(x_axis.place(x), panel.axis.place(y)) for x, y in run.points("compressed rate", axis) if 0 <= y <= 1]
        if not points:
            continue
        yield look.line(points)
        ends.append((run.name, look, points[-1][1]))
        for x, y, mode in _modes(run, axis, x_axis.place, panel.axis.place):
            height = y + (15 if y < panel.top + panel.height - 20 else -7)
            if (free := _free(said, mode, x, height)) is not None:
                said.append(_Said(mode, x, height, free))
                yield f'<path d="M{x:.1f} {panel.top}v{panel.height}" stroke="currentColor" stroke-dasharray="1 3"/>'
                yield f'<text x="{x + 5:.1f}" y="{free:.1f}">{escape(mode)}</text>'
    yield from _names(ends, panel)


def _free(said: Sequence[_Said], mode: str, x: float, height: float) -> float | None:
    """Where a mode can be written at ``x``, at ``height`` or next to it; None if another run says the same there."""
    near = [one for one in said if abs(one.x - x) < _WORD]
    if any(one.mode == mode and abs(one.wanted - height) < 2 * _LABEL for one in near):
        return None
    tries = (height + sign * _LABEL * n for n in itertools.count() for sign in (1, -1))
    return next(y for y in tries if all(abs(one.height - y) >= _LABEL for one in near))


def _modes(
    run: Run, axis: str, place_x: Callable[[float], float], place_y: Callable[[float], float]
) -> Iterator[tuple[float, float, str]]:
    """Where each mode begins: at the first logged line that has it."""
    at = dict(run.places(axis))
    entries = [entry for entry in run.log.training if entry.mode and entry.iteration in at]
    for mode, group in itertools.groupby(entries, key=lambda entry: entry.mode):
        first = next(group)
        rate = first.values.get("compressed rate")
        if mode is not None and rate is not None and 0 <= rate <= 1:
            yield place_x(at[first.iteration] if first is not entries[0] else 0.0), place_y(rate), mode


def _names(ends: Sequence[tuple[str, Look, float]], panel: Panel) -> Iterator[str]:
    """The runs' names beside the ends of their lines."""
    heights = spread([y for _, _, y in ends], panel.top + 4, panel.top + panel.height)
    begin = _WIDTH - _RIGHT + 8
    for (name, look, y), height in zip(ends, heights, strict=True):
        yield f'<path d="M{begin} {y:.1f}L{begin + 14} {height:.1f}" stroke="{look.colour}" fill="none"/>'
        yield look.mark(begin + 20, height)
        shown = name if len(name) <= _NAME else name[: _NAME - 1] + "…"
        yield f'<text x="{begin + 28}" y="{height + 4:.1f}">{escape(shown)}</text>'


def _frame(panel: Panel, x_axis: Axis) -> Iterator[str]:
    """Axes, grid and the label of the y axis."""
    bottom, right = panel.top + panel.height, _WIDTH - _RIGHT
    yield f'<path d="M{_LEFT} {panel.top}V{bottom}H{right}" fill="none" stroke="#888"/>'
    for value in panel.axis.ticks():
        y = panel.axis.place(value)
        yield f'<path d="M{_LEFT} {y:.1f}H{right}" stroke="#8883"/>'
        yield f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{short(value)}</text>'
    for value in x_axis.ticks():
        yield f'<path d="M{x_axis.place(value):.1f} {bottom}v-{panel.height}" stroke="#8882"/>'
    middle = panel.top + panel.height / 2
    turned = f'text-anchor="middle" transform="rotate(-90 14 {middle})"'
    yield f'<text x="14" y="{middle}" {turned}>{escape(panel.label)}</text>'


def _x_labels(x_axis: Axis, bottom: float, axis: str) -> Iterator[str]:
    for value in x_axis.ticks():
        x = x_axis.place(value)
        yield f'<path d="M{x:.1f} {bottom}v4" stroke="#888"/>'
        yield f'<text x="{x:.1f}" y="{bottom + 17}" text-anchor="middle">{short(value)}</text>'
    middle = (x_axis.begin + x_axis.end) / 2
    yield f'<text x="{middle}" y="{bottom + 36}" text-anchor="middle">{escape(axis)}</text>'
