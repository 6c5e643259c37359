"""SVG, written by hand: shapes, scales, plots, pictures. A page with them needs nothing else, the package no library.

Every function gives an element as text; numbers are written so that a picture is the same bytes on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Final

Point = tuple[float, float]
Attribute = str | float | None

COLOURS: Final = ("#1f6f8b", "#c8553d", "#588157", "#8e6c8a", "#d9a441", "#6c6fb0", "#a44a3f", "#5f9ea0")
"""Of series and runs, in their order."""

_NUMBERS_DOWN: Final = 16


def number(value: float) -> str:
    """At most two decimals, so that the last bits of floating point do not show."""
    rounded = math.floor(value * 100 + 0.5) / 100
    return f"{rounded:.2f}".rstrip("0").rstrip(".")


def short(value: float) -> str:
    """A value as the label of a tick."""
    if value >= 1e15:
        return f"{value:.3g}".replace("e+", "e")
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:.3g}"


def element(name: str, content: str | None = None, /, **attributes: Attribute) -> str:
    """An element around ``content``, which is SVG; of attributes, ``_`` stands for ``-``, and None is left out."""
    told = "".join(
        f' {key.replace("_", "-")}="{escape(value) if isinstance(value, str) else number(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{name}{told}/>" if content is None else f"<{name}{told}>{content}</{name}>"


def text(x: float, y: float, content: str, **style: Attribute) -> str:
    """A line of text."""
    return element("text", escape(content), x=x, y=y, **style)


def line(points: Iterable[Point], colour: str, width: float = 1.0, **style: Attribute) -> str:
    """A line through points."""
    return element("polyline", points=_points(points), fill="none", stroke=colour, stroke_width=width, **style)


def straight(begin: Point, end: Point, colour: str, **style: Attribute) -> str:
    """A thin line between two points."""
    (x, y), (to_x, to_y) = begin, end
    way = f"V{number(to_y)}" if x == to_x else f"H{number(to_x)}" if y == to_y else f"L{number(to_x)} {number(to_y)}"
    return element("path", d=f"M{number(x)} {number(y)}{way}", stroke=colour, **style)


def polygon(points: Iterable[Point], **style: Attribute) -> str:
    """A closed shape."""
    return element("polygon", points=_points(points), **style)


def rectangle(
    x: float, y: float, width: float, height: float, content: str | None = None, /, **style: Attribute
) -> str:
    """A box; ``content`` is SVG, such as a title."""
    return element("rect", content, x=x, y=y, width=width, height=height, **style)


def circle(x: float, y: float, radius: float, **style: Attribute) -> str:
    """A circle."""
    return element("circle", cx=x, cy=y, r=radius, **style)


def _points(points: Iterable[Point]) -> str:
    return " ".join(f"{number(x)},{number(y)}" for x, y in points)


def round_step(span: float) -> float:
    """A round step that cuts a span above 0 into two to six parts."""
    power = 10.0 ** math.floor(math.log10(span))
    return next(step for step in (power / 5, power / 2, power, 2 * power) if span / step <= 6)


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

    def ticks(self, step: float | None = None) -> list[float]:
        """Round values along the axis; those of an even one are ``step`` apart, if it is given."""
        if self.log:
            first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
            every = max(1, (last - first + 1) // 6)
            return [10.0**power for power in range(first, last + 1, every)]
        step = step or round_step(max(self.high - self.low, 1e-9))
        return [step * n for n in range(math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9) + 1)]


@dataclass(frozen=True)
class Plot:
    """Two axes (y begins at the bottom), and what is drawn around them.

    ``ink`` and ``grid`` are the colours of the axes and of the grid, ``lettering`` and ``numbers`` attributes of the
    axes' names and of the numbers at the ticks.
    """

    x: Axis
    y: Axis
    ink: str = "#888"
    grid: str = "#8883"
    lettering: Mapping[str, Attribute] = field(default_factory=dict)
    numbers: Mapping[str, Attribute] = field(default_factory=dict)

    def at(self, x: float, y: float) -> Point:
        """Where a pair of values lies on the page."""
        return self.x.place(x), self.y.place(y)

    def corner(self) -> str:
        """The axes themselves."""
        way = f"M{number(self.x.begin)} {number(self.y.end)}V{number(self.y.begin)}H{number(self.x.end)}"
        return element("path", d=way, fill="none", stroke=self.ink)

    def rows(self, ticks: Sequence[float] | None = None) -> Iterator[str]:
        """The y axis: a line across and a number for each tick."""
        for value in self.y.ticks() if ticks is None else ticks:
            y = self.y.place(value)
            yield straight((self.x.begin, y), (self.x.end, y), self.grid)
            yield text(self.x.begin - 6, y + 4, short(value), **{**self.numbers, "text_anchor": "end"})

    def columns(self, ticks: Sequence[float] | None = None) -> Iterator[str]:
        """The x axis: a line upwards for each tick."""
        for value in self.x.ticks() if ticks is None else ticks:
            x = self.x.place(value)
            yield straight((x, self.y.begin), (x, self.y.end), self.grid)

    def numbers_below(self, ticks: Sequence[float] | None = None, *, marks: bool = True) -> Iterator[str]:
        """The x axis: a number for each tick, with a short mark above it."""
        bottom = self.y.begin
        for value in self.x.ticks() if ticks is None else ticks:
            x = self.x.place(value)
            if marks:
                yield straight((x, bottom), (x, bottom + 4), self.ink)
            yield text(x, bottom + _NUMBERS_DOWN, short(value), **{**self.numbers, "text_anchor": "middle"})

    def name_below(self, name: str, apart: float = 36) -> str:
        """What the x axis shows, so far beneath it."""
        middle = (self.x.begin + self.x.end) / 2
        return text(middle, self.y.begin + apart, name, **{**self.lettering, "text_anchor": "middle"})

    def name_beside(self, name: str, apart: float = 44) -> str:
        """What the y axis shows, so far to its left."""
        x, middle = self.x.begin - apart, (self.y.begin + self.y.end) / 2
        turned: dict[str, Attribute] = {
            "text_anchor": "middle",
            "transform": f"rotate(-90 {number(x)} {number(middle)})",
        }
        return text(x, middle, name, **{**self.lettering, **turned})


@dataclass
class Picture:
    """What is drawn on a page of ``width`` x ``height`` pixels, and its title."""

    width: float
    height: float
    title: str
    items: list[str] = field(default_factory=list)

    def add(self, *items: str) -> None:
        """Draw elements on top of what is there."""
        self.items += items

    def inline(self) -> str:
        """As a part of an HTML page, in its fonts and colours."""
        box = f"0 0 {number(self.width)} {number(self.height)}"
        return element("svg", "".join(self.items), viewBox=box, role="img", **{"aria-label": self.title})

    def alone(self, *, style: str = "", **attributes: Attribute) -> str:
        """As a file of its own, on white; ``style`` is CSS."""
        size: dict[str, Attribute] = {"width": self.width, "height": self.height}
        head = [element("title", escape(self.title)), *([element("style", style)] if style else [])]
        content = [*head, rectangle(0, 0, self.width, self.height, fill="#fff"), *self.items]
        box = f"0 0 {number(self.width)} {number(self.height)}"
        drawn = "\n".join(["", *content, ""])
        return element("svg", drawn, xmlns="http://www.w3.org/2000/svg", **size, viewBox=box, **attributes) + "\n"
