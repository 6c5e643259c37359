"""The report as one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

from ...common.pages import document
from . import flops
from .chart import Look, chart, swatch
from .figures import about_table, final_figures, table
from .runs import AXES, RecordedRun

_STYLE: Final = """
body { max-width: 1100px; }
.scroll { overflow-x: auto; } table.figures td { text-align: right; font-variant-numeric: tabular-nums; }
table.figures th:not(:first-child) { text-align: right; } td, th { white-space: nowrap; }
svg.swatch { width: 2.4em; height: 1em; vertical-align: -.1em; margin-right: .4em; }
figure { margin: 1rem 0 2rem; } .legend span { margin-right: 1.4rem; white-space: nowrap; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font: 13px/1.5 ui-monospace, monospace; margin: .3rem 0 1.2rem; }
pre .prompt { opacity: .65; } pre .written { border-left: 3px solid currentColor; padding-left: .4em; }
pre { border: 1px solid #8884; border-radius: 4px; padding: .6rem .8rem; }
"""
_CAPTION: Final = (
    "Lines: training, each point the mean of a logging interval. Filled markers: validation. Large hollow markers: "
    "held-out documents (megatron-proxy evaluate). Lower is better. The steep beginning is cut off. Beneath: the share "
    "of compressed segments, and the mode where it begins."
)
_WHY_NOT: Final = {
    "steps": "no run's log has BPB or a rate",
    "FLOPs": "no log tells the model's shape or Megatron's throughput",
    "source bytes": "no log tells the source bytes seen",
}


def page(runs: Sequence[RecordedRun], title: str) -> str:
    """The page about ``runs``, in their order."""
    figures = [final_figures(run) for run in runs]
    parts = [
        f"<h1>{escape(title)}</h1>",
        _legend(runs),
        _table("What was run", runs, about_table(figures)),
        _table("Final figures", runs, table(figures)),
        "<p><small>BPB: bits per source byte, of either view, so that all compare. -: not told by the run's files."
        "</small></p>",
    ]
    parts += [_figure(runs, axis) for axis in AXES]
    parts += [_generations(runs), _notes(runs)]
    return document(escape(title), "\n".join(parts), _STYLE)


def _legend(runs: Sequence[RecordedRun]) -> str:
    names = "".join(f"<span>{swatch(Look.of(n))}{escape(run.name)}</span>" for n, run in enumerate(runs))
    return f'<p class="legend">{names}</p>'


def _table(title: str, runs: Sequence[RecordedRun], told: Sequence[tuple[str, Sequence[str]]]) -> str:
    head = "".join(f"<th>{escape(run.name)}</th>" for run in runs)
    rows = "".join(
        f"<tr><th>{escape(label)}</th>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"
        for label, cells in told
    )
    table = f'<table class="figures"><tr><td></td>{head}</tr>{rows}</table>'
    return f'<h2>{title}</h2><div class="scroll">{table}</div>'


def _figure(runs: Sequence[RecordedRun], axis: str) -> str:
    drawn = chart(runs, axis)
    shown = (
        f"<figure>{drawn.inline()}<figcaption>{_CAPTION}</figcaption></figure>"
        if drawn
        else f"<p>{_WHY_NOT[axis]}.</p>"
    )
    return f"<h2>Over {escape(axis)}</h2>{shown}"


def _generations(runs: Sequence[RecordedRun]) -> str:
    """What the models wrote, prompt by prompt, so that runs can be compared."""
    prompts = list(dict.fromkeys(one.prompt for run in runs for one in run.generations))
    if not prompts:
        return (
            "<h2>Generations</h2><p>None: a .jsonl of 'megatron-proxy generate' in the run's folder is shown here.</p>"
        )
    parts = ["<h2>Generations</h2><p><small>The prompt is pale, the model's text has a line at its left.</small></p>"]
    for prompt in prompts:
        for number, run in enumerate(runs):
            for one in run.generations:
                if one.prompt == prompt:
                    name = f"{swatch(Look.of(number))}{escape(run.name)}"
                    prefix = f'<span class="prompt">{escape(prompt)}</span>'
                    written = f'<span class="written">{escape(one.completion)}</span>'
                    parts.append(f"<div>{name}</div><pre>{prefix}{written}</pre>")
    return "".join(parts)


def _notes(runs: Sequence[RecordedRun]) -> str:
    lacking = "".join(f"<li>{escape(run.name)}: {escape('; '.join(run.lacks()))}.</li>" for run in runs if run.lacks())
    computed = [run.name for run in runs if flops.per_token(run.settings) is not None]
    printed = [run.name for run in runs if run.name not in computed and run.places["FLOPs"]]
    sources = [
        f"<li>FLOPs of {escape(', '.join(computed))}: {escape(flops.FORMULA)}.</li>" if computed else "",
        f"<li>FLOPs of {escape(', '.join(printed))}: {flops.PRINTED}.</li>" if printed else "",
        "<li>Tokens: consumed samples by the sequence length, sentinels among them.</li>",
        "<li>Source bytes: bytes of documents, counted in the view in which they were read, both views together.</li>",
        "<li>Parameters: as Megatron prints them, summed over model-parallel ranks; without embeddings: less the "
        "embedding's and the output layer's.</li>",
    ]
    missing = f"<h2>What the files do not tell</h2><ul>{lacking}</ul>" if lacking else ""
    return f"<h2>How the figures are made</h2><ul>{''.join(sources)}</ul>{missing}"
