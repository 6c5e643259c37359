"""The figures of docs/evidence.md."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import results
from grid import BYTES, CELLS, COMMON, IDS_PER_STEP, INTERLEAVED, PAPER, SIZES
from measures import Spread
from results import Result

from megatron_proxy.common.pages import plots, svg
from megatron_proxy.common.pages.svg import COLOURS, Axis, Picture

_SIZE, _BUDGET = "0.3M", 500


def all_of(found: Sequence[Result]) -> dict[str, str]:
    """Every figure by its name, as SVG; those that have something to show."""
    drawn = {"arms": arms(found), "three-seeds": arms(found, seeds=3), "budgets": budgets(found)}
    return {name: picture.alone() for name, picture in drawn.items() if picture is not None}


def arms(found: Sequence[Result], *, seeds: int = 1) -> Picture | None:
    """A row for each arm with so many seeds at the main size and budget: a dot for each, and a stroke at their mean."""
    here = results.of(found, size=_SIZE, budget=_BUDGET, vocabulary=COMMON)
    names = dict.fromkeys(cell.arm for cell in CELLS)
    values = {arm: [one.raw for one in results.of(here, arm=arm) if one.raw is not None] for arm in names}
    rows = {arm: of for arm, of in values.items() if len(of) >= seeds}
    if not rows:
        return None
    return plots.dots(rows, "Bits per raw byte of each run, by arm", "bits per raw byte, held out", marked=BYTES)


def budgets(found: Sequence[Result]) -> Picture | None:
    """Bits per raw byte against ids, a line for each arm and size; a stroke of one deviation to each side."""
    lines = {name: points for name, points in _lines(found) if points}
    if not lines:
        return None
    places = [x for points in lines.values() for x, _ in points]
    values = [one.mean for points in lines.values() for _, one in points]
    picture = Picture(760, 340, "Bits per raw byte against ids")
    across = Axis(min(places), max(places), True, 70, 480)
    plot = plots.on_white(across, Axis(min(values) - 0.1, max(values) + 0.1, False, 290, 20))
    picture.add(*plot.rows(), plot.corner(), plot.name_below("ids of the common vocabulary", 34))
    picture.add(*plot.numbers_below(sorted(set(places))), plot.name_beside("bits per raw byte, held out", 40))
    for number, (name, points) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        picture.add(svg.line([plot.at(x, one.mean) for x, one in points], colour, 1.8))
        for x, one in points:
            picture.add(svg.circle(*plot.at(x, one.mean), 3, fill=colour))
            if one.deviation is not None:
                ends = [plot.at(x, one.mean + sign * one.deviation) for sign in (-1, 1)]
                picture.add(svg.line(ends, colour, 1.2))
        picture.add(svg.rectangle(515, 30 + 20 * number, 12, 12, fill=colour))
        picture.add(svg.text(533, 40 + 20 * number, name, **plots.LETTERS))
    return picture


def _lines(found: Sequence[Result]) -> Iterator[tuple[str, list[tuple[float, Spread]]]]:
    """By size and arm: (ids, bits per byte) of each budget."""
    for size in SIZES:
        for arm in (BYTES, INTERLEAVED, PAPER):
            of_arm = results.of(found, size=size, arm=arm, vocabulary=COMMON)
            points = []
            for budget in sorted({one.cell.budget for one in of_arm}):
                spread = Spread.of([one.raw for one in results.of(of_arm, budget=budget) if one.raw is not None])
                if spread is not None:
                    points.append((float(budget * IDS_PER_STEP), spread))
            yield f"{arm}, {size}", points
