"""The final figures of runs, as JSON and as rows of a table."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import Any, Final

from ...common import readable_json
from . import about
from .flops import ELAPSED
from .runs import MOST, VIEWS, RecordedRun

_COUNT, _POWER, _BITS, _PERCENT = "{:,.0f}".format, "{:.2e}".format, "{:.3f}".format, "{:.1%}".format


def final_figures(run: RecordedRun) -> dict[str, Any]:
    """The figures of a run where it ended, JSON-able; None where the files do not tell.

    BPB of training are those of the last logging interval, of validation those of the last validation, and of held-out
    documents those of ``megatron-proxy evaluate``.
    """
    model, parameters = run.settings, run.settings.parameters
    embeddings = model.embedding_parameters
    rest = None if parameters is None or embeddings is None else parameters - embeddings
    return {
        "name": run.name,
        "about": about.about(run),
        "compressor": model.text("proxy_compression"),
        "mode": run.log.training[-1].mode,
        "rate": run.last("compressed rate"),
        "steps": run.steps,
        "tokens": run.tokens,
        "flops": run.flops,
        "parameters": parameters,
        "parameters_without_embeddings": rest,
        "vocabulary": model.vocabulary,
        "padded_vocabulary": model.padded_vocabulary,
        "source_bytes": {view: _whole(run.last(f"{view} bytes seen")) for view in VIEWS},
        "milliseconds_per_step": _median_of(run, ELAPSED),
        "lm_loss": run.last("lm loss"),
        "training_bpb": {view: run.last(f"{view} bpb") for view in VIEWS},
        "validation_bpb": {view: run.last(f"{view} bpb", validation=True) for view in VIEWS},
        "held_out_bpb": {view: one.bpb for view, one in run.evaluations.items()},
        "held_out_accuracy": {view: one.accuracy for view, one in run.evaluations.items()},
        "lacks": run.lacks(),
    }


def as_json(several: Sequence[dict[str, Any]]) -> str:
    """Figures as JSON, which has no numbers that are none: null."""
    plain = json.loads(json.dumps(several), parse_constant=lambda name: None)
    return readable_json.text(plain, indent=2) + "\n"


def table(several: Sequence[dict[str, Any]]) -> list[tuple[str, list[str]]]:
    """Rows of (label, a cell for each run) of the figures at the end; a row that no run has a value for is left out."""
    return _told((label, [_cell(value(figures), shown) for figures in several]) for label, value, shown in _ROWS)


def about_table(several: Sequence[dict[str, Any]]) -> list[tuple[str, list[str]]]:
    """The same of what was run."""
    return _told((label, [_cell(value(one["about"]), _text) for one in several]) for label, value in about.ROWS)


def _told(rows: Iterable[tuple[str, list[str | None]]]) -> list[tuple[str, list[str]]]:
    return [(label, [_NOTHING if cell is None else cell for cell in cells]) for label, cells in rows if any(cells)]


_NOTHING: Final = "-"


def _cell(value: Any, shown: Callable[[Any], str]) -> str | None:
    return None if value is None else shown(value)


def _text(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _whole(value: float | None) -> int | None:
    return None if value is None or not abs(value) < MOST else int(value)


def _median_of(run: RecordedRun, name: str) -> float | None:
    """Median over logging intervals, the first left out where there are more: it holds the start."""
    values = run.log.series(name)[1]
    return statistics.median(values[1:] or values) if values else None


def _bytes_per_token(figures: dict[str, Any]) -> float | None:
    seen = [figures["source_bytes"][view] for view in VIEWS]
    return sum(seen) / figures["tokens"] if None not in seen and figures["tokens"] else None


def _mode_and_rate(figures: dict[str, Any]) -> str | None:
    mode, rate = figures["mode"], figures["rate"]
    return f"{mode}, {rate:.2g}" if mode is not None and rate is not None else mode


def _of_view(name: str, view: str) -> Callable[[dict[str, Any]], Any]:
    return lambda figures: figures[name].get(view)


_ROWS: Final[list[tuple[str, Callable[[dict[str, Any]], Any], Callable[[Any], str]]]] = [
    ("compressor", lambda f: f["compressor"] if f["source_bytes"]["compressed"] != 0 else None, str),
    ("mode and rate at the end", _mode_and_rate, str),
    ("held-out BPB, raw view", _of_view("held_out_bpb", "raw"), _BITS),
    ("held-out BPB, compressed view", _of_view("held_out_bpb", "compressed"), _BITS),
    ("next id right, held out, raw view", _of_view("held_out_accuracy", "raw"), _PERCENT),
    ("validation BPB, raw view", _of_view("validation_bpb", "raw"), _BITS),
    ("validation BPB, compressed view", _of_view("validation_bpb", "compressed"), _BITS),
    ("training BPB, raw view", _of_view("training_bpb", "raw"), _BITS),
    ("training BPB, compressed view", _of_view("training_bpb", "compressed"), _BITS),
    ("loss, nats per id", itemgetter("lm_loss"), _BITS),
    ("steps", itemgetter("steps"), _COUNT),
    ("tokens", itemgetter("tokens"), _COUNT),
    ("FLOPs", itemgetter("flops"), _POWER),
    ("source bytes read, raw view", _of_view("source_bytes", "raw"), _COUNT),
    ("source bytes read, compressed view", _of_view("source_bytes", "compressed"), _COUNT),
    ("source bytes per token", _bytes_per_token, "{:.2f}".format),
    ("parameters", itemgetter("parameters"), _COUNT),
    ("parameters without embeddings", itemgetter("parameters_without_embeddings"), _COUNT),
    ("vocabulary", itemgetter("vocabulary"), _COUNT),
    ("vocabulary, padded", itemgetter("padded_vocabulary"), _COUNT),
    ("milliseconds per step, median", itemgetter("milliseconds_per_step"), _COUNT),
]
