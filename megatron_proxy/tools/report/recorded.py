"""Reading what a run has recorded of itself: the JSON lines of ``adaptor/measures/metrics.py``."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from .settings import RunSettings
from .training_log import Entry, TrainingLog

KINDS: Final = ("run", "training", "validation", "test")


@dataclass
class Recorded:
    """One file: the lines of each start of the training script, the settings of the last, and when lines came."""

    starts: list[TrainingLog] = field(default_factory=list)
    settings: RunSettings = field(default_factory=RunSettings)
    times: list[str] = field(default_factory=list)


def is_record(content: Any) -> bool:
    """Whether a line's content is a record of a run."""
    return isinstance(content, dict) and content.get("record") in KINDS


def read(records: Iterable[Mapping[str, Any]]) -> Recorded:
    """Take the records of one file; those of another shape are passed over."""
    found = Recorded()
    for record in records:
        kind = record.get("record")
        if kind == "run":
            found.starts.append(TrainingLog([], []))
            found.settings = _settings(record)
        elif kind in ("training", "validation") and found.starts and (entry := _entry(record)):
            log = found.starts[-1]
            (log.training if kind == "training" else log.validation).append(entry)
            if kind == "training":
                found.times.append(str(record.get("time", "")))
    found.starts = [log for log in found.starts if log.training]
    return found


def _entry(record: Mapping[str, Any]) -> Entry | None:
    iteration, values, mode = record.get("iteration"), record.get("values"), record.get("mode")
    if not isinstance(iteration, int) or not isinstance(values, dict):
        return None
    # JSON has no numbers that are none.
    numbers = {name: math.nan if value is None else value for name, value in values.items()}
    known = {name: float(value) for name, value in numbers.items() if isinstance(value, int | float)}
    return Entry(iteration, known, mode if isinstance(mode, str) else None)


def _settings(record: Mapping[str, Any]) -> RunSettings:
    arguments, versions, parameters = (record.get(key) for key in ("arguments", "versions", "parameters"))
    settings = RunSettings(
        {name: str(value) for name, value in arguments.items()} if isinstance(arguments, dict) else {},
        _whole(record.get("vocabulary")),
        _whole(record.get("padded_vocabulary")),
    )
    if isinstance(parameters, int):
        settings.parameters_of["0"] = parameters
    settings.versions = versions if isinstance(versions, str) else None
    return settings


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) else None
