"""BPB of both views and the schedule, one under the other on one x axis, several runs in each panel.

Runs are told apart by colour, dash and marker, and named at the right end of their lines: colour alone says nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from ...common.pages import svg
from ...common.pages.svg import COLOURS, Axis, Picture, Plot
from .runs import VIEWS, RecordedRun, interpolated

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
        clear = 0.75 if faint else None
        return svg.line(thinned(points), self.colour, 1.7, stroke_dasharray=self.dash or None, stroke_opacity=clear)

    def mark(self, x: float, y: float, size: float = 3.4, *, hollow: bool = False) -> str:
        """The run's marker at a place."""
        style: dict[str, svg.Attribute] = {"fill": self.colour}
        if hollow:
            style = {"fill": "none", "stroke": self.colour, "stroke_width": 1.8}
        if self.marker == "circle":
            return svg.circle(x, y, size, **style)
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
        return svg.polygon(((x + size * dx, y + size * dy) for dx, dy in corners), **style)


class _Said(NamedTuple):
    """A mode that is written: where, how high it was wanted, and how high it stands."""

    mode: str
    x: float
    wanted: float
    height: float


def chart(runs: Sequence[RecordedRun], axis: str) -> Picture | None:
    """The figure of ``runs`` against ``axis``; None if no run has anything to show on that axis."""
    shown = [view for view in VIEWS if any(run.points(f"{view} bpb", axis) for run in runs)]
    rates = any(run.points("compressed rate", axis) for run in runs)
    if not shown and not rates:
        return None
    x_axis = Axis(0.0, max(place for run in runs for _, place in run.places[axis]), False, _LEFT, _WIDTH - _RIGHT)
    picture = Picture(_WIDTH, 0, f"Bits per source byte and compressed rate by {axis}")
    bottom = float(_TOP) - _GAP
    for view in shown:
        top, bottom = bottom + _GAP, bottom + _GAP + _TALL
        plot = Plot(x_axis, _bpb_axis(runs, view, axis, top))
        picture.add(*_frame(plot, f"{view} view: bits per source byte"), *_view(runs, view, axis, plot))
    if rates:
        top, bottom = bottom + _GAP, bottom + _GAP + _LOW
        plot = Plot(x_axis, Axis(0.0, 1.0, False, bottom, top))
        picture.add(*_frame(plot, "compressed rate"), *_schedule(runs, axis, plot))
    picture.add(*plot.numbers_below(), plot.name_below(axis))
    picture.height = bottom + _FOOT
    return picture


def alone(picture: Picture) -> str:
    """A figure of :func:`chart` as a file of its own: its fonts and colours need no page."""
    return picture.alone(style="text { font: 12px sans-serif; fill: currentColor; }", color="#222")


def swatch(look: Look) -> str:
    """A piece of a run's line, for a legend."""
    drawn = look.line([(1, 7), (33, 7)]) + look.mark(17, 7)
    return svg.element("svg", drawn, **{"class": "swatch", "viewBox": "0 0 34 14", "aria-hidden": "true"})


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


def _bpb_axis(runs: Sequence[RecordedRun], view: str, axis: str, top: float) -> Axis:
    """A scale that leaves out the beginning of every run, if that lies higher than all the rest."""
    end = max(place for run in runs for _, place in run.places[axis])
    series = [run.points(f"{view} bpb", axis) for run in runs]
    series += [run.points(f"{view} bpb", axis, validation=True) for run in runs]
    late = [y for points in series for x, y in points if x >= _BEGINNING * end]
    late += [run.evaluations[view].bpb for run in runs if view in run.evaluations]
    values = late or [y for points in series for _, y in points]
    low, high = min(values), max(values)
    margin = 0.06 * (high - low) or 0.1
    return Axis(max(0.0, low - margin), high + margin, False, top + _TALL, top)


def _view(runs: Sequence[RecordedRun], view: str, axis: str, plot: Plot) -> Iterator[str]:
    """The lines of training, the markers of validation, the larger hollow ones of held-out documents, the names."""

    def placed(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
        return [plot.at(x, y) for x, y in points]

    clip = f"{view}-{axis.replace(' ', '-')}"
    room = svg.rectangle(_LEFT, plot.y.end - 4, _WIDTH - _LEFT - _RIGHT + 8, _TALL + 8)
    yield svg.element("clipPath", room, id=clip) + f'<g clip-path="url(#{clip})">'
    ends: list[tuple[str, Look, float]] = []
    for number, run in enumerate(runs):
        look = Look.of(number)
        line = placed(run.points(f"{view} bpb", axis))
        marks = placed(run.points(f"{view} bpb", axis, validation=True))
        yield look.line(line, faint=bool(marks)) if line else ""
        yield from (look.mark(x, y) for x, y in marks[:: len(marks) // _MOST_MARKERS + 1])
        if (evaluation := run.evaluations.get(view)) and (places := run.places[axis]):
            place = interpolated(places, evaluation.iteration)
            yield look.mark(*plot.at(place, evaluation.bpb), 6, hollow=True)
        if line or marks:
            ends.append((run.name, look, (marks or line)[-1][1]))
    yield "</g>"
    yield from _names(ends, plot)


def _schedule(runs: Sequence[RecordedRun], axis: str, plot: Plot) -> Iterator[str]:
    """The rate of every run, and the modes where they begin."""
    ends: list[tuple[str, Look, float]] = []
    said: list[_Said] = []
    for number, run in enumerate(runs):
        look = Look.of(number)
        points = [plot.at(x, y) for x, y in run.points("compressed rate", axis) if 0 <= y <= 1]
        if not points:
            continue
        yield look.line(points)
        ends.append((run.name, look, points[-1][1]))
        for x, y, mode in _modes(run, axis, plot):
            height = y + (15 if y < plot.y.begin - 20 else -7)
            if (free := _free(said, mode, x, height)) is not None:
                said.append(_Said(mode, x, height, free))
                yield svg.straight((x, plot.y.end), (x, plot.y.begin), "currentColor", stroke_dasharray="1 3")
                yield svg.text(x + 5, free, mode)
    yield from _names(ends, plot)


def _free(said: Sequence[_Said], mode: str, x: float, height: float) -> float | None:
    """Where a mode can be written at ``x``, at ``height`` or next to it; None if another run says the same there."""
    near = [one for one in said if abs(one.x - x) < _WORD]
    if any(one.mode == mode and abs(one.wanted - height) < 2 * _LABEL for one in near):
        return None
    tries = (height + sign * _LABEL * n for n in itertools.count() for sign in (1, -1))
    return next(y for y in tries if all(abs(one.height - y) >= _LABEL for one in near))


def _modes(run: RecordedRun, axis: str, plot: Plot) -> Iterator[tuple[float, float, str]]:
    """Where each mode begins: at the first logged line that has it."""
    at = dict(run.places[axis])
    entries = [entry for entry in run.log.training if entry.mode and entry.iteration in at]
    for mode, group in itertools.groupby(entries, key=lambda entry: entry.mode):
        first = next(group)
        rate = first.values.get("compressed rate")
        if mode is not None and rate is not None and 0 <= rate <= 1:
            yield *plot.at(at[first.iteration] if first is not entries[0] else 0.0, rate), mode


def _names(ends: Sequence[tuple[str, Look, float]], plot: Plot) -> Iterator[str]:
    """The runs' names beside the ends of their lines."""
    heights = spread([y for _, _, y in ends], plot.y.end + 4, plot.y.begin)
    begin = _WIDTH - _RIGHT + 8
    for (name, look, y), height in zip(ends, heights, strict=True):
        yield svg.straight((begin, y), (begin + 14, height), look.colour)
        yield look.mark(begin + 20, height)
        shown = name if len(name) <= _NAME else name[: _NAME - 1] + "…"
        yield svg.text(begin + 28, height + 4, shown)


def _frame(plot: Plot, name: str) -> Iterator[str]:
    """Axes, grid and the name of the y axis."""
    yield plot.corner()
    yield from plot.rows()
    yield from plot.columns()
    yield plot.name_beside(name)
