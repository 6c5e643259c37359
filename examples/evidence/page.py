"""docs/evidence.md: its tables and figures, from the results alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import measures
import pictures
import results
from grid import (
    BYTES,
    CELLS,
    COMMON,
    COMPRESSORS,
    GZIP,
    IDS_PER_STEP,
    INTERLEAVED,
    PAPER,
    SAME_RATES,
    SIZES,
    own_vocabulary,
)
from measures import BytesAlone, Spread, Trend
from results import Result

from megatron_proxy.common.storage.files import replace_file

DOCS: Final = Path(__file__).parents[2] / "docs"
PAGE: Final = DOCS / "evidence.md"
README: Final = DOCS.parent / "README.md"
BEGIN: Final = "<!-- results -->\n"
END: Final = "<!-- end of results -->\n"
MAIN: Final = ("0.3M", 500)
"""The size and budget at which compressors are compared."""
_NONE: Final = "-"


def write(kept: Path = results.FOLDER) -> None:
    """Write the page and its figures."""
    for path, content in files(kept).items():
        replace_file(path, content.encode())


def files(kept: Path = results.FOLDER) -> dict[Path, str]:
    """The page and its figures, as they must be."""
    found, inspected = results.load(kept), results.compressors(kept)
    drawn = {DOCS / "figures" / f"evidence-{name}.svg": content for name, content in pictures.all_of(found).items()}
    return {PAGE: _with(PAGE, told(found, inspected)), README: _with(README, sentence(found)), **drawn}


def _with(path: Path, lines: Iterable[str]) -> str:
    """A page with these lines in the place of its results."""
    before, rest = path.read_text("utf-8").split(BEGIN)
    return "".join([before, BEGIN, *(f"{line}\n" for line in lines), END, rest.split(END)[1]])


def sentence(found: Sequence[Result]) -> Iterator[str]:
    """What the README tells, with a plot: of arms with three seeds, and nothing before bytes and one more have them."""
    size, budget = MAIN
    here = results.of(found, size=size, budget=budget, vocabulary=COMMON)
    values = {arm: Spread.of([one.raw for one in results.of(here, arm=arm) if one.raw is not None]) for arm in _TOLD}
    clauses = [
        f"{_TOLD[arm]} {one.mean:.2f} ± {one.deviation:.2f}"
        for arm, one in values.items()
        if one is not None and one.deviation is not None and one.count >= 3
    ]
    if len(clauses) < 2 or not clauses[0].startswith(_TOLD[BYTES]):
        return
    ids = f"{budget * IDS_PER_STEP / 1e6:.1f}M"
    yield (
        f"Bits per held-out raw byte at equal compute, {size} parameters without embeddings, {ids} ids, one CPU core, "
        f"three seeds: {', '.join(clauses)}.{_compared(here)} [Evidence](docs/evidence.md) has what was found, what "
        "was not, and the commands."
    )
    yield ""
    yield "![Bits per raw byte by arm](docs/figures/evidence-three-seeds.svg)"


def _compared(here: Sequence[Result]) -> str:
    """Whether interleaving is told from bytes, once that can be said."""
    spread = Spread.of(measures.gaps(here, INTERLEAVED, BYTES))
    if spread is None or spread.deviation is None or spread.count < 3:
        return ""
    return f" Seed by seed, interleaved less bytes is {spread.mean:z.2f} ± {spread.deviation:.2f}: {verdict(spread)}."


_TOLD: Final = {
    BYTES: "bytes alone",
    INTERLEAVED: "`--proxy-mode interleaved` with SentencePiece, half of the spans compressed,",
    PAPER: "the paper's schedule with SentencePiece",
    GZIP: "the same with gzip, which must not transfer,",
}


def told(found: Sequence[Result], inspected: dict[str, dict[str, float]]) -> Iterator[str]:
    """The lines of the results."""
    yield from _coverage(found)
    if not found:
        return
    yield from _arms(found)
    yield from _placement(found)
    yield from _trends(found)
    yield from _predictors(found, inspected)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table whose first column is text and whose others are numbers."""
    ruler = ["---", *("---:" for _ in head[1:])]
    return ["| " + " | ".join(row) + " |" for row in (head, ruler, *rows)]


def _coverage(found: Sequence[Result]) -> Iterator[str]:
    have = {one.cell for one in found}
    missing = [f"`{cell.name}`" for cell in CELLS if cell not in have]
    yield "### The cells"
    yield ""
    yield f"{len(CELLS) - len(missing)} of the grid's {len(CELLS)} cells have a result."
    if missing:
        yield (
            f"The others are still to be run, by the command above; the next are {', '.join(missing[:4])}. "
            f"What rests on them is left out below, or is a `{_NONE}`."
        )
    if not found:
        return
    loads = [load for one in found for load in one.load_average]
    yield ""
    versions = "; ".join(sorted({one.versions for one in found}))
    held_out = {(one.held_out["bytes"], one.held_out["documents"]) for one in found}
    over = " or ".join(f"{size:,} bytes of {documents} files" for size, documents in sorted(held_out))
    minutes = sum(one.seconds for one in found) / 60
    yield (
        f"Made with {versions}; held out are {over}. The cells took {minutes:,.0f} minutes in all, on a machine with "
        f"other work (load average {min(loads):.1f} to {max(loads):.1f}): their seconds say nothing."
    )


def _arms(found: Sequence[Result]) -> Iterator[str]:
    """A table of all arms for each size and budget."""
    yield ""
    yield "### The arms"
    yield ""
    yield (
        "Mean ± standard deviation over seeds (how many seeds), bits per byte of the raw view; differences are between "
        "runs of the same seed, below 0 where the arm is better than bytes. *Gain* is what the compressed views are "
        "worth: how far an arm is ahead of bytes alone that read as many raw bytes, and nothing else, at less compute "
        "(interpolated between the budgets of bytes)."
    )
    head = [
        "arm",
        "raw BPB",
        "to bytes, one vocabulary",
        "to bytes, own vocabularies",
        "gain",
        "perturbed prompts add",
        "raw bytes read",
        "compressed bytes read",
        "compressed BPB",
    ]
    for size, budget in dict.fromkeys((one.cell.size, one.cell.budget) for one in sorted(found, key=_place)):
        here = results.of(found, size=size, budget=budget)
        alone = BytesAlone(results.of(found, size=size))
        parameters = {one.figures["parameters_without_embeddings"] for one in here}
        yield ""
        yield (
            f"**{size}: {min(parameters):,} parameters without embeddings; {budget * IDS_PER_STEP:,} ids of the common "
            f"vocabulary, {max(one.figures['flops'] for one in here):.2e} FLOPs**"
        )
        yield ""
        kinds = dict.fromkeys((one.cell.arm, one.cell.vocabulary) for one in sorted(here, key=_place))
        yield from table(head, [_row(here, alone, *kind) for kind in kinds])
    yield ""
    yield f"![Bits per raw byte by arm: {MAIN[0]}, {MAIN[1] * IDS_PER_STEP:,} ids](figures/evidence-arms.svg)"


def _place(one: Result) -> tuple[int, int, int]:
    """Small and short runs first, and arms in the order of the grid."""
    arms = list(dict.fromkeys(cell.arm for cell in CELLS))
    return SIZES.index(one.cell.size), one.cell.budget, arms.index(one.cell.arm)


def _row(here: Sequence[Result], alone: BytesAlone, arm: str, vocabulary: str) -> list[str]:
    """An arm's figures, of runs of one size and budget."""
    found = results.of(here, arm=arm, vocabulary=vocabulary)
    common, own = vocabulary == COMMON, vocabulary == own_vocabulary(arm)
    return [
        f"`{arm}`" if common else f"`{arm}`, own vocabulary",
        _spread([one.raw for one in found if one.raw is not None]),
        _spread(measures.gaps(here, arm, BYTES) if common and arm != BYTES else []),
        _spread(measures.own_gaps(here, arm) if own and arm != BYTES else []),
        _spread([value for one in found if arm != BYTES and (value := alone.gain(one)) is not None]),
        _spread([value for one in found if (value := measures.added(one)) is not None]),
        _count(found, "raw"),
        _count(found, "compressed"),
        _spread([one.bpb["compressed"] for one in found if "compressed" in one.bpb]),
    ]


def _spread(values: Sequence[float]) -> str:
    return str(Spread.of(values) or _NONE)


def _count(found: Sequence[Result], view: str) -> str:
    counted = Spread.of([one.figures["source_bytes"][view] for one in found])
    return _NONE if counted is None else f"{counted.mean:,.0f}"


def _placement(found: Sequence[Result]) -> Iterator[str]:
    """Whether interleaving beats the paper's placement, and the control does not transfer."""
    yield ""
    yield "### Placement, and the control"
    yield ""
    interleaved_more, paper_less = SAME_RATES
    questions = (
        ("interleaved to 0.5 less bytes", INTERLEAVED, BYTES),
        ("interleaved to 0.5 less the paper's recipe", INTERLEAVED, PAPER),
        ("interleaved less the paper's placement, both to 0.9", interleaved_more, PAPER),
        ("interleaved less the paper's placement, both to 0.5", INTERLEAVED, paper_less),
        ("zstd less SentencePiece, both interleaved to 0.5", "interleaved:zstd@0.5", INTERLEAVED),
        ("zstd less SentencePiece, both by the paper's recipe", "proxy:zstd", PAPER),
        ("gzip less bytes", GZIP, BYTES),
        ("gzip less tokens, in the paper's placement", GZIP, PAPER),
    )
    rows = []
    for size, budget in dict.fromkeys((one.cell.size, one.cell.budget) for one in sorted(found, key=_place)):
        for name, arm, other in questions:
            here = results.of(found, size=size, budget=budget)
            if spread := Spread.of(measures.gaps(here, arm, other)):
                rows.append([name, size, f"{budget * IDS_PER_STEP:,}", str(spread), verdict(spread)])
    yield from table(["bits per raw byte", "size", "ids", "difference", "says"], rows)


def verdict(spread: Spread) -> str:
    """What a difference says of its first arm: something, if it is over twice its deviation, over 3 seeds or more."""
    if spread.deviation is None or spread.count < 3:
        return f"{spread.count} of 3 seeds: nothing yet"
    if abs(spread.mean) <= 2 * spread.deviation:
        return "within its spread"
    return "better, by more than its spread" if spread.mean < 0 else "worse, by more than its spread"


def _trends(found: Sequence[Result]) -> Iterator[str]:
    """The gap to bytes against budget and size."""
    yield ""
    yield "### Does the gap to bytes shrink?"
    yield ""
    yield (
        "The change of the gap to bytes for each doubling, by a straight line through all seeds, ± its standard error. "
        "A gap that shrinks has a negative one."
    )
    yield ""
    sizes = {one.cell.size: float(one.figures["parameters_without_embeddings"]) for one in found}
    budgets = sorted({one.cell.budget for one in found})
    rows = []
    for arm in (INTERLEAVED, PAPER):
        for size in (size for size in SIZES if size in sizes):
            here = {float(budget): results.of(found, size=size, budget=budget) for budget in budgets}
            rows += _trend(arm, f"ids, at {size}", here)
        for budget in budgets:
            here = {number: results.of(found, size=size, budget=budget) for size, number in sizes.items()}
            rows += _trend(arm, f"parameters, at {budget * IDS_PER_STEP:,} ids", here)
    yield from (
        table(["arm", "for each doubling of", "change of the gap", "places", "runs"], rows)
        if rows
        else ["No arm has a gap at two places yet."]
    )
    yield ""
    yield "![Bits per raw byte against ids](figures/evidence-budgets.svg)"


def _trend(arm: str, what: str, here: Mapping[float, Sequence[Result]]) -> list[list[str]]:
    """A row, if results at two amounts or more have a gap."""
    points = [(math.log2(amount), gap) for amount, of in here.items() for gap in measures.gaps(of, arm, BYTES)]
    found = Trend.of(points)
    places = len({x for x, _ in points})
    return [] if found is None else [[f"`{arm}`", what, str(found), str(places), str(len(points))]]


def _predictors(found: Sequence[Result], inspected: dict[str, dict[str, float]]) -> Iterator[str]:
    """What `inspect` says of each compressor beside what it transfers."""
    yield ""
    yield "### Can it be known beforehand?"
    yield ""
    size, budget = MAIN
    here, alone = results.of(found, size=size, budget=budget), BytesAlone(results.of(found, size=size))
    arms = {
        "proxy": {name: f"proxy:{name}" for name in COMPRESSORS},
        "interleaved": {name: f"interleaved:{name}@0.5" for name in COMPRESSORS},
    }
    transfers = {kind: measures.transfer(here, alone, of) for kind, of in arms.items()}
    names = [name for name in COMPRESSORS if name in inspected]
    head = ["compressor", *_PREDICTORS, *(f"transfer, {kind}" for kind in arms)]
    rows = []
    for name in names:
        foretold = [f"{shown(inspected[name]):.3f}" for shown in _PREDICTORS.values()]
        rows.append([name, *foretold, *(_known(transfers[kind], name) for kind in arms)])
    yield (
        f"What `inspect` tells of each compressor, and the transfer at {size} and {budget * IDS_PER_STEP:,} ids: the "
        "mean gain over its seeds."
    )
    yield ""
    yield from table(head, rows)
    yield ""
    yield (
        "Rank correlation (Spearman's) of each with transfer, the middle 95 % over all resamples of the compressors, "
        f"and how many of these there are; not told of fewer than {measures.FEWEST}. An interval that holds 0 says "
        "nothing."
    )
    yield ""
    rows = []
    for predictor, shown in _PREDICTORS.items():
        row = [predictor]
        for kind in arms:
            have = [name for name in names if name in transfers[kind]]
            row.append(_ranked([shown(inspected[n]) for n in have], [transfers[kind][n] for n in have]))
        rows.append(row)
    yield from table(["predictor", *arms], rows)


_PREDICTORS: Final[dict[str, Callable[[dict[str, float]], float]]] = {
    "stability (edit distance)": lambda one: one["stability"],
    "bytes per code": lambda one: one["bytes_per_code"],
    "literal bytes": lambda one: one["literal_bytes"],
    "entropy per byte": lambda one: one["entropy_per_byte"],
    "repeats kept": lambda one: one["repeats_kept"],
}


def _known(transfer: dict[str, float], name: str) -> str:
    return f"{transfer[name]:+.3f}" if name in transfer else _NONE


def _ranked(xs: Sequence[float], ys: Sequence[float]) -> str:
    found, interval = measures.rank_correlation(xs, ys), measures.rank_interval(xs, ys)
    if found is None or interval is None:
        return f"{_NONE} ({len(xs)})"
    return f"{found:+.2f}, {interval[0]:+.2f} to {interval[1]:+.2f} ({len(xs)})"
