"""The figures as one self-contained HTML page: no scripts, no fonts, nothing to load."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

from ...common.pages import document, plots
from ...common.pages.plots import Series
from .alignment import Pair
from .figures import Figures
from .text import ROWS, code_name, percent, readable

_STYLE: Final = """
.view { font: 13px/1.75 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere; }
.view span { border-radius: 3px; padding: 1px 0; }
.a { background: #1f6f8b30; } .b { background: #c8553d30; } .l { background: #8883; }
.sides { display: grid; grid-template-columns: 1fr 1fr; gap: 1.5rem; }
"""
_GROUPS: Final = ("10 % at random", "one span of 10 %", "repeats lost")


def page(prefix: str, several: Sequence[Figures]) -> str:
    """A page about all of ``several``, views of one prefix."""
    first = several[0]
    title = f"{escape(prefix)}: {first.documents:,} documents, {first.bytes:,} bytes"
    sections = "".join(_section(figures) for figures in several)
    return document(title, f"<h1>{title}</h1>\n{_table(several)}\n{_plots(several)}\n{sections}", _STYLE)


def _table(several: Sequence[Figures]) -> str:
    head = "".join(f"<th>{escape(figures.compressor)}</th>" for figures in several)
    rows = "".join(
        f"<tr><th>{escape(label)}</th>{''.join(f'<td>{escape(value(figures))}</td>' for figures in several)}</tr>"
        for label, value in ROWS
    )
    return f"<table><tr><td></td>{head}</tr>{rows}</table>"


def _plots(several: Sequence[Figures]) -> str:
    lengths = [
        Series(f.compressor, [(1.5 * e.at_least, e.bytes / e.codes) for e in f.by_length if e.codes]) for f in several
    ]
    ranks = [Series(f.compressor, f.frequencies.ranks) for f in several]
    unstable = [
        Series(f.compressor, list(enumerate((f.stability.random, f.stability.span, 1 - f.stability.repeats_kept))))
        for f in several
    ]
    entropies = [
        Series(f.compressor, list(enumerate((f.entropy_per_byte / 8, f.frequencies.literal_bytes)))) for f in several
    ]
    figures = [
        ("Bytes per code, by length of document", plots.lines(lengths, "bytes of the document", "bytes per code")),
        ("How often codes occur", plots.lines(ranks, "rank", "count", log_y=True)),
        ("Instability: lower is better for transfer", plots.bars(_GROUPS, unstable, "edit distance ÷ codes")),
        (
            "Entropy of single codes, and bytes left as literals",
            plots.bars(("bits per byte ÷ 8", "literals, of bytes"), entropies, "share"),
        ),
    ]
    drawn = "".join(f"<figure>{svg}<figcaption>{caption}</figcaption></figure>" for caption, svg in figures if svg)
    return f'<h2>Figures</h2><p>{plots.legend([f.compressor for f in several])}</p><div class="plots">{drawn}</div>'


def _section(figures: Figures) -> str:
    rows = "".join(
        f"<tr><td>{code_name(entry.code, figures.literals)}</td>"
        f"<td>{percent(entry.count / figures.frequencies.codes)}</td>"
        f"<td><code>{'' if entry.bytes is None else escape(readable(entry.bytes))}</code></td></tr>"
        for entry in figures.frequencies.most
    )
    raw = "".join(_stretch(pair, n, figures, escape(_visible(pair.bytes))) for n, pair in enumerate(figures.pairs))
    coded = " ".join(
        _stretch(pair, n, figures, " ".join(code_name(code, figures.literals) for code in pair.codes))
        for n, pair in enumerate(figures.pairs)
    )
    return (
        f"<h2>{escape(figures.compressor)}</h2>"
        f"<h3>Both views, beginning of document {figures.document}</h3>"
        f'<div class="sides"><div class="view">{raw}</div><div class="view">{coded}</div></div>'
        f"<p><small>Stretches of the same colour beside each other belong together; grey ones are literal bytes."
        f"</small></p><details><summary>The most frequent codes</summary><table>{rows}</table></details>\n"
    )


def _stretch(pair: Pair, number: int, figures: Figures, content: str) -> str:
    literal = figures.literals and len(pair.codes) == 1 and pair.codes[0] < 256
    kind = "l" if literal else "ab"[number % 2]
    return f'<span class="{kind}" title="{len(pair.bytes)} bytes, {len(pair.codes)} codes">{content}</span>'


def _visible(data: bytes) -> str:
    """Text as it stands, with a mark at line ends; other control characters and stray bytes escaped."""
    return "⏎\n".join(map(readable, data.split(b"\n")))
