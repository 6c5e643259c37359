"""What was run, as one asks first: the model, its batch and rates, how long, on what, with which versions, and when."""

from __future__ import annotations

import ast
from collections.abc import Callable
from operator import itemgetter
from typing import Any, Final

from .runs import RecordedRun
from .settings import RunSettings

_DATA: Final = ("data_path", "train_data_path", "data_args_path", "per_split_data_args_path")


def about(run: RecordedRun) -> dict[str, Any]:
    """The settings of a run, JSON-able; None where its log does not tell."""
    given = run.settings
    return {
        "layers": given.number("num_layers"),
        "width": given.number("hidden_size"),
        "heads": given.number("num_attention_heads"),
        "window": given.number("seq_length"),
        "batch": given.number("global_batch_size"),
        "micro_batch": given.number("micro_batch_size"),
        "processes": given.number("world_size"),
        "learning_rate": _learning_rate(given),
        "compressed_rate": _compressed_rate(given),
        "steps": run.steps,
        "planned_steps": given.number("train_iters"),
        "data": _data(given),
        "seed": given.number("seed"),
        "versions": given.versions,
        "began": run.began,
        "ended": run.ended,
    }


def _learning_rate(given: RunSettings) -> str | None:
    """Highest and lowest, and how it goes from one to the other."""
    highest, lowest, style = (given.text(name) for name in ("lr", "min_lr", "lr_decay_style"))
    if highest is None:
        return None
    if style in (None, "constant"):
        return f"{highest}, constant" if style else highest
    return f"{highest} → {lowest}, {style}"


def _compressed_rate(given: RunSettings) -> str | None:
    """The shares of compressed segments at the beginning, at the peak and at the end."""
    if "num_layers" in given.arguments and given.text("proxy_compression") is None:
        return "none"
    peak = given.text("proxy_peak_rate")
    rates = [given.text("proxy_initial_rate"), peak, given.text("proxy_final_rate") or peak]
    return None if None in rates else " → ".join(map(str, rates))


def _data(given: RunSettings) -> str | None:
    """What the training data was called on the command line."""
    if given.flag("mock_data"):
        return "mock data"
    named = next((text for name in _DATA if (text := given.text(name)) is not None), None)
    try:
        words = ast.literal_eval(named or "")
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return named
    return " ".join(map(str, words)) if isinstance(words, list) else named


def _batch(one: dict[str, Any]) -> str | None:
    windows, at_once = one["batch"], one["micro_batch"]
    if windows is None:
        return None
    return f"{windows:,} windows" if at_once is None else f"{windows:,} windows, {at_once:,} at once"


def _steps(one: dict[str, Any]) -> str:
    steps, planned = one["steps"], one["planned_steps"]
    return f"{steps:,}" if planned is None else f"{steps:,} of {planned:,}"


def _date(one: dict[str, Any]) -> str | None:
    began, ended = one["began"], one["ended"]
    return None if began is None else f"{began[:16]} to {ended[:16]}"


ROWS: Final[list[tuple[str, Callable[[dict[str, Any]], Any]]]] = [
    ("layers", itemgetter("layers")),
    ("width", itemgetter("width")),
    ("attention heads", itemgetter("heads")),
    ("window, ids", itemgetter("window")),
    ("batch", _batch),
    ("learning rate", itemgetter("learning_rate")),
    ("compressed rate", itemgetter("compressed_rate")),
    ("steps", _steps),
    ("data", itemgetter("data")),
    ("seed", lambda one: one["seed"] if one["seed"] is None else str(one["seed"])),
    ("processes", itemgetter("processes")),
    ("versions", itemgetter("versions")),
    ("date", _date),
]
"""Labels, and what to tell of what :func:`about` found; None where a run does not."""
