"""The figures of a run as JSON lines, beside its checkpoints: what its log says, without rounding.

Each start of the training script adds a record ``run`` (when, versions, arguments), then one for each line that is
printed: ``training``, ``validation`` or ``test``, with its iteration and ``values`` by the names that the log has for
them. A figure that is no number is null. Of several records of an iteration, as a resumed run writes them, the last
counts. Written by the rank that prints the log; a file that cannot be written ends no run.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

import torch

from .. import run
from ..run import Run

FILE: Final = "proxy-metrics.jsonl"
_OF_THE_STEP: Final = ("learning_rate", "loss_scale", "grad_norm", "params_norm")


class Line(NamedTuple):
    """A line of training that is about to be printed: Megatron's figures as it was given them, and ours."""

    iteration: int
    mode: str
    given: Mapping[str, float]
    ours: Mapping[str, float]


def given_to_log(given: Mapping[str, Any]) -> dict[str, float]:
    """The figures among the arguments of ``training_log``, by the names that its line has for them.

    Losses are means over the interval, which Megatron has summed up but for this iteration.
    """
    sums, skipped = given.get("total_loss_dict") or {}, bool(given["skipped_iter"])
    count = max(1, sums.get("advanced iterations", 0) + (not skipped))
    figures = {
        key: (sums.get(key, 0.0) + (0.0 if skipped else loss)) / count for key, loss in given["loss_dict"].items()
    }
    figures |= {name.replace("_", " "): given.get(name) for name in _OF_THE_STEP}
    return {name: float(value) for name, value in figures.items() if value is not None}


class Metrics:
    """The file of one run, in the process that prints its log."""

    def __init__(self, current: Run) -> None:
        self._run = current
        self._path = _path(current.args)
        self._begun = False
        self._parameters: int | None = None

    @property
    def wanted(self) -> bool:
        """Whether anything is written."""
        return self._path is not None

    def see(self, chunks: Any) -> None:
        """Count the parameters of the model, where this rank has all of it."""
        args = self._run.args
        if self._path is None or self._parameters is not None or isinstance(chunks, torch.nn.Module):
            return
        if args.tensor_model_parallel_size == args.pipeline_model_parallel_size == 1:
            self._parameters = sum(one.numel() for chunk in chunks for one in chunk.parameters())

    def training(self, line: Line, message: str) -> None:
        """Record a line of training, of which ``message`` is Megatron's part."""
        values = {**_unrounded(message, line.given), **line.ours}
        self._add("training", iteration=line.iteration, mode=line.mode, values=values)

    def validation(self, iteration: int, message: str, figures: Mapping[str, float]) -> None:
        """Record the line of one set."""
        kind = "test" if " on test set" in message else "validation"
        samples = {"consumed samples": self._run.args.consumed_train_samples}
        mix = self._run.settings.mix(self._run.args.consumed_train_samples)
        values = {**samples, **figures, "compressed rate": mix.rate}
        self._add(kind, iteration=iteration, mode=mix.mode.value, values=values)

    def _add(self, kind: str, **fields: Any) -> None:
        if self._path is None:
            return
        records = [] if self._begun else [_record("run", parameters=self._parameters, **_beginning(self._run))]
        try:
            _append(self._path, [*records, _record(kind, **fields)])
            self._begun = True
        except (OSError, ValueError) as error:
            print(f"megatron_proxy: warning: no metrics are written: {self._path}: {error}", flush=True)
            self._path = None


def _path(args: argparse.Namespace) -> str | None:
    """Where the figures go; None where nobody has named a place."""
    named, save = getattr(args, "proxy_metrics", None), getattr(args, "save", None)
    return named or (os.path.join(save, FILE) if save else None)


def _append(path: str, lines: list[str]) -> None:
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "ab+") as file:
        # A run that was killed may have left half a line.
        if file.tell():
            file.seek(-1, os.SEEK_END)
            lines = lines if file.read() == b"\n" else ["", *lines]
        file.write("".join(f"{line}\n" for line in lines).encode())


def _record(kind: str, **fields: Any) -> str:
    if values := fields.get("values"):
        fields["values"] = {name: value if math.isfinite(value) else None for name, value in values.items()}
    return json.dumps({"record": kind, "time": str(datetime.now()), **fields}, allow_nan=False)


def _beginning(current: Run) -> dict[str, Any]:
    """What the run is: its arguments as the log has them, as text."""
    return {
        "versions": ", ".join(run.versions()),
        "vocabulary": current.tokenizer.vocab_size,
        "padded_vocabulary": getattr(current.args, "padded_vocab_size", None),
        "arguments": {name: str(value) for name, value in sorted(vars(current.args).items())},
    }


def _unrounded(message: str, exact: Mapping[str, float]) -> dict[str, float]:
    """The figures of a printed line, each as it is known best: what rounds to the digits that stand there is meant."""
    found = {}
    for part in message.split("|"):
        name, _, digits = map(str.strip, part.rpartition(":"))
        if name and (printed := _number(digits)) is not None:
            found[name] = exact[name] if name in exact and _rounds_to(exact[name], digits) else printed
    return found


def _number(digits: str) -> float | None:
    try:
        return int(digits) if digits.isdecimal() else float(digits)
    except ValueError:
        return None


def _rounds_to(value: float, digits: str) -> bool:
    decimals = len(digits.partition("E")[0].partition(".")[2])
    return format(value, f".{decimals}{'E' if 'E' in digits else 'f'}") == digits
