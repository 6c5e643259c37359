"""Draw the figures of the README and of docs/how-it-works.md with the package's own functions: ``make docs``."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from megatron_proxy.common.pages import svg
from megatron_proxy.common.pages.svg import Axis, Picture, Plot
from megatron_proxy.compressors.base import Compressor
from megatron_proxy.compressors.strings.trie import TrieCompressor
from megatron_proxy.data.dataset.reader import ViewReader
from megatron_proxy.data.sampling import draws
from megatron_proxy.data.sampling.draws import Form
from megatron_proxy.data.sampling.plan import DocumentSizes, PlanSpec
from megatron_proxy.data.sampling.planner import build
from megatron_proxy.data.sampling.schedule import Mix, Mode, Schedule
from megatron_proxy.data.sampling.windows import Windows
from megatron_proxy.vocab import (
    COMPRESSED_CLOSE,
    COMPRESSED_OPEN,
    RAW_OPEN,
    SPECIAL_NAMES,
    SYMBOL_OFFSET,
    is_byte,
    raw_ids,
)

FOLDER: Final = Path(__file__).with_name("figures")
BLUE: Final = "#4477aa"
ORANGE: Final = "#ee8866"
PALE_ORANGE: Final = "#f7c4b2"
GREEN: Final = "#44aa77"
GREY: Final = "#bbbbbb"
INK: Final = "#222222"
MEASURED: Final = Path(__file__).with_name("compressors-measured.md")

TEXTS: Final = (
    b"def area(width, height):\n    return width * height\n",
    b"for width in widths:\n    print(area(width, 2))\n",
    b"def volume(width, height, depth):\n    return area(width, height) * depth\n",
)


def main() -> None:
    """Write all figures."""
    for name, picture in figures().items():
        (FOLDER / f"{name}.svg").write_text(picture.alone(), encoding="utf-8")


def figures() -> dict[str, Picture]:
    """Every figure, by the name of its file."""
    return {
        "idea": idea(),
        "schedule": schedule(),
        "calibration": calibration(),
        "windows": windows(Mode.TRANSLATION_RANDOM, "Three windows during the warm-up", 0.65),
        "interleaved": windows(Mode.INTERLEAVED, "Three windows of the mode interleaved", 0.6),
        "stability": stability(),
    }


def _text(
    x: float,
    y: float,
    text: str,
    *,
    size: float = 12,
    anchor: str = "start",
    colour: str = INK,
    family: str = "sans-serif",
) -> str:
    return svg.text(x, y, text, **_font(size, family), text_anchor=anchor, fill=colour, **_SPACES)


def _font(size: float, family: str = "sans-serif") -> dict[str, svg.Attribute]:
    return {"font_family": family, "font_size": size}


_SPACES: Final[dict[str, svg.Attribute]] = {"xml:space": "preserve"}


def _dot(place: svg.Point, colour: str, radius: float = 3.5) -> str:
    return svg.circle(*place, radius, fill=colour)


def _plot(box: tuple[float, float, float, float], x_high: float, y_high: float) -> Plot:
    """Axes from zero in a box: left, top, width and height."""
    left, top, width, height = box
    x, y = Axis(0, x_high, False, left, left + width), Axis(0, y_high, False, top + height, top)
    return Plot(x, y, INK, "#eeeeee", lettering=_font(12) | {"fill": INK}, numbers=_font(11) | {"fill": INK})


def _frame(plot: Plot, x_ticks: Sequence[float], y_ticks: Sequence[float], x_name: str, y_name: str) -> Iterator[str]:
    yield from plot.columns(x_ticks)
    yield from plot.numbers_below(x_ticks, marks=False)
    yield from plot.rows(y_ticks)
    yield plot.corner()
    yield plot.name_below(x_name, 34)
    yield plot.name_beside(y_name, 36)


def schedule() -> Picture:
    """The rate over progress, with the mode of each phase: the defaults, and a run with a decay."""
    picture = Picture(720, 306, "The rate over a run")
    cases = (
        ("defaults", Schedule()),
        ("--proxy-decay-fraction 0.2 --proxy-final-rate 0.5", Schedule(final_rate=0.5, decay=0.2)),
    )
    for number, (name, shown) in enumerate(cases):
        plot = _plot((60 + 345 * number, 50, 290, 190), 1, 1)
        quarters = [0, 0.25, 0.5, 0.75, 1]
        picture.add(*_frame(plot, [0, 0.2, 0.4, 0.6, 0.8, 1], quarters, "progress: share of the horizon", "rate"))
        picture.add(_text(plot.x.begin, 24, name))
        borders = [0.0, shown.warmup, *([shown.decay_begin] if shown.decay else []), 1.0]
        for begin, end in itertools.pairwise(borders):
            x, top = plot.at(begin, 1)
            colour = BLUE if begin == 0 else GREEN
            picture.add(svg.rectangle(x, top, plot.x.place(end) - x, 190, fill=colour, fill_opacity=0.08))
            phase = "warm-up" if begin == 0 else "steady" if begin < shown.decay_begin else "decay"
            mode = shown.at(begin).mode.removesuffix("_random")
            picture.add(_text(x + 4, top + 160, phase, size=11), _text(x + 4, top + 174, mode, size=9.5))
        picture.add(svg.line([plot.at(x / 500, shown.at(x / 500).rate) for x in range(501)], ORANGE, 2.5))
        picture.add(*(_dot(plot.at(progress, rate), INK, 2) for progress, rate in _counted(shown)))
    counted = "line: the schedule; dots: compressed segments counted in a plan of 4,000 windows"
    picture.add(_text(60, 292, counted, size=11))
    return picture


def _counted(schedule: Schedule) -> list[tuple[float, float]]:
    """Progress and share of compressed segments, counted in a plan, in 25 stretches of the run."""
    sizes = DocumentSizes(np.full(5_000, 90, np.int32), np.full(5_000, 30, np.int32))
    spec = PlanSpec(1, 64, schedule, horizon_samples=4_000, num_samples=4_000, documents=range(5_000))
    plan = build(spec, sizes)
    forms = np.asarray(plan.draw_forms)
    ends = np.cumsum(draws.form_lengths(forms, sizes.raw[plan.draw_documents], sizes.codes[plan.draw_documents]))
    stretch = np.minimum(ends * 25 // (spec.horizon_samples * spec.seq_length), 24)
    compressed = np.bincount(stretch, (forms != Form.RAW), 25)
    raw = np.bincount(stretch, (forms != Form.COMPRESSED), 25)
    return [((i + 0.5) / 25, share) for i, share in enumerate((compressed / (compressed + raw)).tolist())]


def calibration() -> Picture:
    """Which forms a pairing mode draws at each rate: counted over draws."""
    picture = Picture(560, 330, "What a pairing mode draws")
    plot = _plot((60, 40, 330, 230), 1, 1)
    rates = [i / 40 for i in range(41)]
    shares = np.array([_shares(rate) for rate in rates])
    heights = np.concatenate([np.zeros((len(rates), 1)), np.cumsum(shares, axis=1)], axis=1)
    for column, (colour, name, y) in enumerate(
        ((BLUE, "raw only", 0.15), (GREEN, "pairs: both views", 0.5), (ORANGE, "compressed only", 0.85))
    ):
        lower = [plot.at(rate, low) for rate, low in zip(rates, heights[:, column], strict=True)]
        upper = [plot.at(rate, high) for rate, high in zip(rates, heights[:, column + 1], strict=True)]
        picture.add(svg.polygon([*lower, *reversed(upper)], fill=colour))
        picture.add(svg.rectangle(410, plot.y.place(y) - 10, 12, 12, fill=colour), _text(428, plot.y.place(y), name))
    quarters = [0, 0.25, 0.5, 0.75, 1]
    picture.add(*_frame(plot, quarters, quarters, "rate: share of compressed segments", "share of draws"))
    picture.add(_text(60, 24, "20,000 draws at each rate, mode translation_random"))
    return picture


def _shares(rate: float) -> list[float]:
    """Shares of draws that are raw only, pairs, compressed only."""
    forms = draws.draw_forms(1, np.arange(20_000), Mix(rate, Mode.TRANSLATION_RANDOM))
    raw, compressed = (float(np.mean(forms == form)) for form in (Form.RAW, Form.COMPRESSED))
    return [raw, 1.0 - raw - compressed, compressed]


def idea() -> Picture:
    """One text, its two views, and windows of an actual plan, as training reads them."""
    picture = Picture(920, 0, "One text, two views, one model")
    compressor = _compressor()
    text = [Cell(_shown(TEXTS[0].decode()), "#ffffff")]
    views = ((name, _view(compressor, name)) for name in ("raw", "compressed"))
    top = 14.0
    for name, cells in (("text", text), *views):
        top = _draw_window(picture, cells, name, top, framed=False) + 34
    for number, cells in enumerate(_windows(Schedule.constant(0.6, Mode.INTERLEAVED), 60, count=3)):
        top = _draw_window(picture, cells, "training" if number == 0 else "", top) + 30
    _legend(picture, top + 12)
    picture.height = top + 30
    return picture


def _view(compressor: Compressor, name: str) -> list[Cell]:
    """The ids of the first text in one view, without its sentinels."""
    opener, ids = RAW_OPEN, raw_ids(TEXTS[0])
    if name == "compressed":
        opener, ids = COMPRESSED_OPEN, compressor.encode(TEXTS[0]).astype(np.int64) + compressor.vocabulary.code_offset
    return list(_cells(np.concatenate(([opener], ids)), compressor))[1:]


class Cell(NamedTuple):
    """One id of a window as it is drawn."""

    text: str
    colour: str


def windows(mode: Mode, title: str, rate: float) -> Picture:
    """Windows of an actual plan over three tiny documents, id by id."""
    length = 80
    rows = list(_windows(Schedule.constant(rate, mode), length, count=3))
    picture = Picture(920, 0, title)
    picture.add(_text(20, 24, f"{title}: {length} ids each, and the opener before them", size=13))
    top = 48.0
    for number, cells in enumerate(rows):
        top = _draw_window(picture, cells, f"window {number}", top) + 40
    _legend(picture, top + 16)
    picture.height = top + 34
    return picture


def _draw_window(picture: Picture, cells: Sequence[Cell], name: str, top: float, *, framed: bool = True) -> float:
    """Ids in lines of boxes, a symbol's as wide as what it stands for; returns where the last line begins.

    ``framed`` marks the first, of a window its opener.
    """
    picture.add(_text(20, top + 13, name, size=11))
    x, y = 90.0, top
    for index, cell in enumerate(cells):
        width = 6.6 * len(cell.text) + 5
        if x + width > 900:
            x, y = 90.0, y + 22
        right = x + width - 1.5
        picture.add(svg.rectangle(x, y, right - x, 18, fill=cell.colour, fill_opacity=0.55))
        if index == 0 and framed:
            picture.add(svg.line([(x, y), (right, y), (right, y + 18), (x, y + 18), (x, y)], INK, 1.5))
        picture.add(_text((x + right) / 2, y + 13, cell.text, size=10.5, anchor="middle", family="monospace"))
        x += width
    return y


def _legend(picture: Picture, y: float) -> None:
    entries = ((BLUE, "a raw byte"), (ORANGE, "a symbol"), (GREEN, "a literal byte in the compressed view"))
    x = 90.0
    for colour, name in (*entries, (GREY, "a special; framed: the opener")):
        picture.add(svg.rectangle(x, y - 10, 12, 12, fill=colour, fill_opacity=0.55), _text(x + 18, y, name, size=11))
        x += 60 + 6.2 * len(name)


def _windows(schedule: Schedule, length: int, count: int) -> Iterator[list[Cell]]:
    """The first windows of the stream."""
    compressor = _compressor()
    encoded = [compressor.encode_spans(text) for text in TEXTS]
    spans = [
        np.stack([np.diff(each.byte_ends, prepend=0), np.diff(each.code_ends, prepend=0)], axis=1) for each in encoded
    ]
    table = _View([pairs.astype(np.uint16).ravel() for pairs in spans])
    raw, codes = _View([np.frombuffer(text, np.uint8) for text in TEXTS]), _View([each.codes for each in encoded])
    sizes = DocumentSizes(raw.sequence_lengths, codes.sequence_lengths, table)
    spec = PlanSpec(5, length, schedule, horizon_samples=100, num_samples=count, documents=range(len(TEXTS)))
    made = Windows(build(spec, sizes), raw, codes, compressor.vocabulary, table)
    ids = np.empty(length + 1, dtype=np.int64)
    for number in range(count):
        made.fill(number, ids)
        yield list(_cells(ids, compressor))


def _compressor() -> Compressor:
    """One that has learnt from the texts."""
    options = TrieCompressor.all_options({"symbols": 96, "longest": 12, "segment-bytes": 64})
    return TrieCompressor.build(options, lambda: iter(TEXTS))


class _View(ViewReader):
    """A view in memory."""

    def __init__(self, documents: Sequence[NDArray[Any]]) -> None:
        self._units = np.concatenate(documents)
        self.dtype, self.units = self._units.dtype, len(self._units)
        self.sequence_lengths = np.array([len(document) for document in documents], dtype=np.int32)
        sizes = [document.nbytes for document in documents]
        self.sequence_pointers = np.cumsum(sizes, dtype=np.int64) - sizes


def _cells(ids: NDArray[np.int64], compressor: Compressor) -> Iterator[Cell]:
    """What each id stands for; whether a byte is raw or a literal, the special before it tells."""
    inside = False
    for id_ in ids.tolist():
        if id_ in SPECIAL_NAMES:
            inside = id_ == COMPRESSED_OPEN or (inside and id_ != COMPRESSED_CLOSE)
            yield Cell(SPECIAL_NAMES[id_], GREY)
            continue
        code = np.array([id_ - compressor.vocabulary.code_offset], dtype=np.int64)
        text = bytes([id_ - 64]) if is_byte(id_) else compressor.decode(code)
        colour = ORANGE if id_ >= SYMBOL_OFFSET else GREEN if inside else BLUE
        yield Cell(_shown(text.decode()), colour)


def _shown(text: str) -> str:
    """Text in which blanks and line ends are seen."""
    return text.replace(" ", "␣").replace("\n", "↵")


def stability() -> Picture:
    """Bytes per code against stability, from the tables of compressors-measured.md."""
    picture = Picture(820, 470, "Length against stability")
    plot = _plot((60, 40, 560, 370), 7, 1.4)
    shares = [0, 0.2, 0.4, 0.6, 0.8, 1, 1.2, 1.4]
    picture.add(*_frame(plot, range(8), shares, "source bytes per code", "edit distance ÷ length"))
    picture.add(_text(60, 24, "Ten per cent of characters deleted at random: how much of the code stream changes"))
    for y, (corpus, colour) in zip((80, 60), (("debian", PALE_ORANGE), ("stdlib", BLUE)), strict=True):
        picture.add(_dot((640, y - 4), colour), _text(650, y, corpus))
        for row in _measured(corpus):
            x, height = plot.at(row.bytes_per_code, row.random)
            picture.add(_dot((x, height), colour))
            if corpus == "stdlib" and row.name in _LABELS:
                across, down, anchor = _LABELS[row.name]
                picture.add(_text(x + across, height + down, row.name, size=10.5, anchor=anchor))
    n = np.linspace(1, 7, 61)
    picture.add(svg.line([plot.at(x, 1 - 0.9**x) for x in n.tolist()], GREY, 1.5, stroke_dasharray="5 4"))
    formula = "- - -  1 \N{MINUS SIGN} 0.9ⁿ: share of symbols"
    picture.add(_text(640, 108, formula, size=11, colour="#777777"))
    picture.add(_text(640, 123, "of n bytes that are hit", size=11, colour="#777777"))
    return picture


_LABELS: Final = {
    "identity": (6, 14, "start"),
    "doublebyte": (-7, 4, "end"),
    "sentencepiece, 16,384": (6, 22, "middle"),
    "hf, byte-level BPE, 32,768": (10, -10, "end"),
    "trie, 65,280": (8, -1, "start"),
    "trie, 65,280, 3 rounds": (-8, -4, "end"),
    "neural": (8, 9, "start"),
    "neural-ac, 16 bits": (-8, 4, "end"),
    "neural-ac, 8 bits": (-4, -8, "middle"),
    "zstd": (-8, 4, "end"),
    "zstd, whole documents": (8, 4, "start"),
    "gzip": (-8, 4, "end"),
}
"""Where a label stands from its dot."""


class Row(NamedTuple):
    """What is plotted of one row of the tables."""

    name: str
    bytes_per_code: float
    random: float


def _measured(corpus: str) -> list[Row]:
    """The rows of one corpus's table with whole symbols: the regroupings of bits are left out."""
    text = MEASURED.read_text(encoding="utf-8")
    section = re.search(rf"^### {corpus}\n(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL)
    if section is None:
        raise ValueError(f"{MEASURED.name} has no section {corpus}")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section[1].splitlines() if "|" in line]
    head, _, *body = rows
    columns = head.index("bytes per code"), head.index("random")
    found = (Row(row[0], float(row[columns[0]]), float(row[columns[1]])) for row in body)
    return [row for row in found if row.bytes_per_code >= 1]


if __name__ == "__main__":
    main()
