"""The figures of :mod:`.robustness` as a picture: for each perturbation, bits per byte added and next bytes lost.

An SVG is written by hand and needs nothing; a PNG is drawn by matplotlib, which is in the extra ``demo``.
"""

from __future__ import annotations

import importlib.util
import io
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from ..common import extras
from ..common.pages import svg as shapes
from ..common.pages.svg import Axis, Picture, round_step
from ..common.storage.files import write_output
from ..errors import ConfigurationError
from .robustness import CLEAN

_COLOUR: Final = "#4477aa"
_INK: Final = "#222222"
_GRID: Final = "#dddddd"
_NAMES: Final = 110
_PANEL: Final = 300
_VALUE: Final = 60
_ROW: Final = 30
_TOP: Final = 72
_BOTTOM: Final = 34


class Panel(NamedTuple):
    """One half of the picture.

    Parameters
    ----------
    title
        What it shows.
    values
        In the order of the names.
    form
        How they are written.
    least
        What the axis shows at least on either side that has bars: differences far below it are noise, and stay short.
    """

    title: str
    values: Sequence[float]
    form: str
    least: float

    @property
    def ends(self) -> tuple[float, float]:
        """Lowest and highest value of the axis: zero, all values, and :attr:`least` where values lie."""
        low, high = min([0.0, *self.values]), max([0.0, *self.values])
        return (min(low, -self.least) if low < 0 else 0.0), max(high, self.least)


def check(path: Path) -> None:
    """Refuse, before anything is measured, a file that could not be drawn.

    Raises
    ------
    ConfigurationError
        An ending that is neither ``.svg`` nor ``.png``, or a PNG without matplotlib.
    """
    if path.suffix not in (".svg", ".png"):
        raise ConfigurationError(f"{str(path)!r} ends neither in .svg nor in .png", where="--plot")
    if path.suffix == ".png" and importlib.util.find_spec("matplotlib") is None:
        raise ConfigurationError(
            "a PNG needs matplotlib, which is not installed",
            where="--plot",
            fix=f"{extras.install('demo')}, or name a file that ends in .svg",
        )


def save(found: dict[str, dict[str, Any]], path: Path) -> None:
    """Draw the figures that :func:`.robustness.figures` made, by the ending of ``path``."""
    if path.suffix == ".svg":
        write_output(path, svg(found).encode(), "--plot")
    else:
        _save_png(found, path)


def panels(found: dict[str, dict[str, Any]]) -> list[Panel]:
    """What is drawn."""
    rows = [one for name, one in found.items() if name != CLEAN]
    return [
        Panel("bits per byte added", [one["bpb_added"] for one in rows], "{:+z.4f}", 0.02),
        Panel("next bytes lost, in points", [100 * one["accuracy_lost"] for one in rows], "{:+z.2f}", 1.0),
    ]


def _title(found: dict[str, dict[str, Any]]) -> str:
    clean = found[CLEAN]
    return f"Behind clean prompts: {clean['bpb']:.3f} bits per byte, {clean['accuracy']:.1%} of next bytes right"


def svg(found: dict[str, dict[str, Any]]) -> str:
    """The picture as SVG: bars from zero, each with its value beside it."""
    names = [name for name in found if name != CLEAN]
    picture = Picture(_NAMES + 2 * (_PANEL + _VALUE), _TOP + _ROW * len(names) + _BOTTOM, _title(found))
    picture.add(_text(14, 24, _title(found), size=14))
    picture.add(*(_text(_NAMES - 12, _middle(row), name, anchor="end") for row, name in enumerate(names)))
    for place, panel in enumerate(panels(found)):
        picture.add(*_draw(panel, _NAMES + place * (_PANEL + _VALUE)))
    return picture.alone(font_family="system-ui, sans-serif")


def _draw(panel: Panel, left: float) -> Iterator[str]:
    low, high = panel.ends
    step = round_step(high - low)
    # Values stand beside their bars: to the left of zero too, if there are bars.
    begin = left + (_VALUE if low < 0 else 0)
    axis = Axis(step * math.floor(low / step), step * math.ceil(high / step), False, begin, left + _PANEL)
    bottom = _TOP + _ROW * len(panel.values)
    yield _text(left + _PANEL / 2, _TOP - 18, panel.title, anchor="middle", size=13)
    for value in axis.ticks(step):
        x = axis.place(value)
        yield shapes.straight((x, _TOP), (x, bottom), _GRID)
        yield _text(x, bottom + 18, shapes.short(value), anchor="middle", size=11)
    zero = axis.place(0.0)
    for row, value in enumerate(panel.values):
        begin, end = sorted((zero, axis.place(value)))
        yield shapes.rectangle(begin, _TOP + _ROW * row + 5, end - begin, _ROW - 10, fill=_COLOUR)
        x, anchor = (end + 6, "start") if value >= 0 else (begin - 6, "end")
        yield _text(x, _middle(row), panel.form.format(value), anchor=anchor, size=11)
    yield shapes.straight((zero, _TOP), (zero, bottom), _INK)


def _middle(row: int) -> float:
    """Where text stands in a row."""
    return _TOP + _ROW * (row + 0.5) + 4


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 12) -> str:
    return shapes.text(x, y, text, text_anchor=anchor, font_size=size, fill=_INK)


def _save_png(found: dict[str, dict[str, Any]], path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = [name for name in found if name != CLEAN]
    figure = Figure(figsize=(9, 1.7 + 0.35 * len(names)), constrained_layout=True)
    FigureCanvasAgg(figure)
    figure.suptitle(_title(found), fontsize=11)
    for axis, panel in zip(figure.subplots(1, 2), panels(found), strict=True):
        bars = axis.barh(names, panel.values, color=_COLOUR)
        axis.bar_label(bars, [panel.form.format(value) for value in panel.values], padding=4, fontsize=8)
        axis.axvline(0.0, color="black", linewidth=0.8)
        low, high = panel.ends
        room = 0.2 * (high - low)
        axis.set_xlim(low - (room if low < 0 else 0.0), high + room)
        axis.set_title(panel.title, fontsize=10)
        axis.invert_yaxis()
    content = io.BytesIO()
    figure.savefig(content, dpi=130, format="png")
    write_output(path, content.getvalue(), "--plot")
