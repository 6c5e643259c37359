"""Just enough SVG for the figures: shapes, axes, files that are the same bytes on every machine."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Final

BLUE: Final = "#4477aa"
ORANGE: Final = "#ee8866"
PALE_ORANGE: Final = "#f7c4b2"
GREEN: Final = "#44aa77"
GREY: Final = "#bbbbbb"
INK: Final = "#222222"
PALE: Final = "#eeeeee"

Point = tuple[float, float]


class Picture:
    """A white page of ``width`` x ``height`` pixels, with what is drawn on it."""

    def __init__(self, width: float, height: float, title: str) -> None:
        self.width, self.height = width, height
        self._title = title
        self._items: list[str] = []

    def rectangle(self, x: float, y: float, width: float, height: float, fill: str, opacity: float = 1.0) -> None:
        """A filled box."""
        clear = f' fill-opacity="{_number(opacity)}"' if opacity < 1 else ""
        place = f'x="{_number(x)}" y="{_number(y)}" width="{_number(width)}" height="{_number(height)}"'
        self._items.append(f'<rect {place} fill="{fill}"{clear}/>')

    def line(self, points: Iterable[Point], colour: str = INK, width: float = 1.0, dashes: str = "") -> None:
        """A line through points."""
        path = " ".join(f"{_number(x)},{_number(y)}" for x, y in points)
        dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
        style = f'fill="none" stroke="{colour}" stroke-width="{_number(width)}"{dashed}'
        self._items.append(f'<polyline points="{path}" {style}/>')

    def area(self, points: Iterable[Point], fill: str) -> None:
        """A filled polygon."""
        path = " ".join(f"{_number(x)},{_number(y)}" for x, y in points)
        self._items.append(f'<polygon points="{path}" fill="{fill}"/>')

    def dot(self, x: float, y: float, colour: str, radius: float = 3.5) -> None:
        """A filled circle."""
        self._items.append(f'<circle cx="{_number(x)}" cy="{_number(y)}" r="{_number(radius)}" fill="{colour}"/>')

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float = 12,
        anchor: str = "start",
        colour: str = INK,
        family: str = "sans-serif",
        turn: float = 0,
    ) -> None:
        """A line of text; ``anchor`` is start, middle or end, ``turn`` degrees."""
        turned = f' transform="rotate({_number(turn)} {_number(x)} {_number(y)})"' if turn else ""
        font = f'font-family="{family}" font-size="{_number(size)}" text-anchor="{anchor}" fill="{colour}"'
        place = f'x="{_number(x)}" y="{_number(y)}"'
        self._items.append(f'<text {place} {font}{turned} xml:space="preserve">{escape(text)}</text>')

    def save(self, path: Path) -> None:
        """Write the file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.content(), encoding="utf-8")

    def content(self) -> str:
        """The file's content."""
        width, height = map(_number, (self.width, self.height))
        view = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
        head = f'<svg xmlns="http://www.w3.org/2000/svg" {view}>'
        page = f'<rect width="{width}" height="{height}" fill="white"/>'
        return "\n".join([head, f"<title>{escape(self._title)}</title>", page, *self._items, "</svg>"]) + "\n"


class Axes:
    """A plot in a picture: where a value of x and y lies, and lines with numbers at the edges."""

    def __init__(
        self, picture: Picture, box: tuple[float, float, float, float], x: tuple[float, float], y: tuple[float, float]
    ) -> None:
        self.picture = picture
        self.left, self.top, self.width, self.height = box
        self._x, self._y = x, y

    def at(self, x: float, y: float) -> Point:
        """The pixel of a value."""
        across = (x - self._x[0]) / (self._x[1] - self._x[0])
        up = (y - self._y[0]) / (self._y[1] - self._y[0])
        return self.left + across * self.width, self.top + (1 - up) * self.height

    def frame(self, x_ticks: Sequence[float], y_ticks: Sequence[float], x_label: str, y_label: str) -> None:
        """Grid, numbers and labels."""
        bottom, right = self.top + self.height, self.left + self.width
        for value in x_ticks:
            x = self.at(value, self._y[0])[0]
            self.picture.line([(x, self.top), (x, bottom)], PALE)
            self.picture.text(x, bottom + 16, f"{value:g}", size=11, anchor="middle")
        for value in y_ticks:
            y = self.at(self._x[0], value)[1]
            self.picture.line([(self.left, y), (right, y)], PALE)
            self.picture.text(self.left - 6, y + 4, f"{value:g}", size=11, anchor="end")
        self.picture.line([(self.left, self.top), (self.left, bottom), (right, bottom)])
        self.picture.text((self.left + right) / 2, bottom + 34, x_label, anchor="middle")
        middle = self.top + self.height / 2
        self.picture.text(self.left - 36, middle, y_label, anchor="middle", turn=-90)


def _number(value: float) -> str:
    """At most two decimals, so that the last bits of floating point do not show."""
    rounded = math.floor(value * 100 + 0.5) / 100
    return f"{rounded:.2f}".rstrip("0").rstrip(".")
