"""The figures as plain text: a report of one view, and a table of several beside each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from ...vocab import NUM_BYTES
from .alignment import Pair
from .figures import Figures

_SHOWN_PAIRS: Final = 48
_SHOWN_CODES: Final = 24

Row = tuple[str, Callable[[Figures], str]]

ROWS: Final[tuple[Row, ...]] = (
    ("symbols", lambda f: f"{f.symbols:,}{' + literal bytes' if f.literals else ''}"),
    ("lossless", lambda f: "yes" if f.lossless else "no"),
    ("spans", lambda f: "yes" if f.spans else "no"),
    ("codes", lambda f: f"{f.codes:,}"),
    ("bytes per code", lambda f: f"{f.bytes_per_code:.3f}"),
    ("literals, of codes", lambda f: percent(f.frequencies.literal_codes)),
    ("literals, of bytes", lambda f: percent(f.frequencies.literal_bytes)),
    ("entropy, bits per code", lambda f: f"{f.frequencies.entropy:.3f}"),
    ("entropy, bits per byte", lambda f: f"{f.entropy_per_byte:.3f}"),
    ("codes in use", lambda f: f"{f.frequencies.used:,} of {f.frequencies.possible:,}"),
    ("decoded exactly, documents", lambda f: f"{f.way_back.exact} of {f.way_back.documents}"),
    ("stability, 10 % at random", lambda f: f"{f.stability.random:.3f}"),
    ("stability, one span of 10 %", lambda f: f"{f.stability.span:.3f}"),
    ("repeats that keep their codes", lambda f: kept(f.stability.repeats_kept, f.stability.repeats)),
    ("their codes kept, mean share", lambda f: kept(f.stability.repeat_codes_kept, f.stability.repeats)),
)
"""What is said about a view, line by line."""


def percent(share: float) -> str:
    """A share in percent."""
    return f"{100 * share:.1f} %"


def kept(share: float, repeats: int) -> str:
    """A share of repeats; there may be none."""
    return percent(share) if repeats else "no repeats found"


def readable(data: bytes) -> str:
    """Bytes on one line: UTF-8 as it is, everything else escaped as in Python."""
    text = data.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def report(figures: Figures) -> str:
    """Everything about one view."""
    width = max(len(label) for label, _ in ROWS)
    lines = [f"{figures.compressor}: {figures.documents:,} documents, {figures.bytes:,} bytes", ""]
    lines += [f"  {label:<{width}}  {value(figures)}" for label, value in ROWS]
    lines += ["", "  by length of document, bytes", *_lengths(figures)]
    lines += ["", "  the most frequent codes", *_frequent(figures)]
    lines += ["", f"  side by side, beginning of document {figures.document}", *_side_by_side(figures.pairs)]
    return "\n".join(lines) + "\n"


def comparison(several: Sequence[Figures]) -> str:
    """A table with one column per compressor."""
    columns = [["", *(label for label, _ in ROWS)]]
    columns += [[figures.compressor, *(value(figures) for _, value in ROWS)] for figures in several]
    widths = [max(map(len, column)) for column in columns]
    rows = zip(*columns, strict=True)
    return "\n".join("  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def _lengths(figures: Figures) -> list[str]:
    return [
        f"    from {entry.at_least:>11,}  {entry.documents:>9,} documents  "
        f"{entry.bytes / max(1, entry.codes):.3f} bytes per code"
        for entry in figures.by_length
    ]


def _frequent(figures: Figures) -> list[str]:
    total = figures.frequencies.codes
    # Quotation marks show blanks at either end.
    return [
        f"    {code_name(entry.code, figures.literals):>9}  {percent(entry.count / total):>7}  "
        f"{'' if entry.bytes is None else f'"{readable(entry.bytes)}"'}"
        for entry in figures.frequencies.most
    ]


def code_name(code: int, literals: bool) -> str:
    """``byte 97`` for a literal byte, ``#12`` for a symbol."""
    if not literals:
        return f"#{code}"
    return f"byte {code}" if code < NUM_BYTES else f"#{code - NUM_BYTES}"


def _side_by_side(pairs: Sequence[Pair]) -> list[str]:
    """One line per stretch."""
    lines = []
    for pair in pairs[:_SHOWN_PAIRS]:
        codes = " ".join(map(str, pair.codes[:_SHOWN_CODES]))
        more = f" … {len(pair.codes) - _SHOWN_CODES} more" if len(pair.codes) > _SHOWN_CODES else ""
        lines.append(f"    {readable(pair.bytes):<32} {codes}{more}")
    return lines
