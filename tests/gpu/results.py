"""What the steps found: one JSON file, one table and one log, rewritten after each step."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import settings  # noqa: F401  (puts the benchmarks' folder on the path)

# isort: split
from harness import Row, table


class State(StrEnum):
    """How a step ended."""

    PASSED = "passed"
    MISSED = "missed a goal"
    FAILED = "failed"
    TIMED_OUT = "timed out"
    SKIPPED = "skipped"
    NOT_REACHED = "not reached"


BAD = {State.MISSED, State.FAILED, State.TIMED_OUT}


@dataclass
class Outcome:
    """What became of one step: its rows as far as it came, and in a line why it came no further."""

    name: str
    state: State
    seconds: float = 0.0
    reason: str = ""
    rows: list[Row] = field(default_factory=list)


def judged(name: str, seconds: float, rows: list[Row]) -> Outcome:
    """The outcome of a step that came to its end."""
    missed = [row.name for row in rows if row.reached is False]
    return Outcome(name, State.MISSED if missed else State.PASSED, seconds, "; ".join(missed), rows)


def save_rows(path: Path, rows: Sequence[Row]) -> None:
    """Keep what a step has found so far."""
    path.write_text(json.dumps([asdict(row) for row in rows]))


def load_rows(path: Path) -> list[Row]:
    """What :func:`save_rows` kept; nothing if it never did."""
    return [Row(**row) for row in json.loads(path.read_text())] if path.exists() else []


class Results:
    """The files in the folder ``output``: results.json, table.md, log.txt."""

    def __init__(self, output: Path, about: dict[str, Any], names: Sequence[str]) -> None:
        self._output, self._about = output, about
        self.outcomes = {name: Outcome(name, State.NOT_REACHED, reason="the run ended before it") for name in names}
        output.mkdir(parents=True, exist_ok=True)
        (output / "log.txt").write_text("")
        self._write()

    def add(self, outcome: Outcome, log: str) -> None:
        """Note what became of a step."""
        self.outcomes[outcome.name] = outcome
        with (self._output / "log.txt").open("a", encoding="utf-8") as file:
            file.write(f"\n===== {outcome.name}: {outcome.state} =====\n{log}")
        self._write()

    def table(self) -> str:
        """Two tables in Markdown: the steps, then what they found."""
        lines = ["| step | state | seconds | |", "| --- | --- | --- | --- |"]
        lines += [f"| {one.name} | {one.state} | {one.seconds:.0f} | {one.reason} |" for one in self.outcomes.values()]
        return "\n".join([*lines, "", table([row for one in self.outcomes.values() for row in one.rows])])

    def failed(self) -> bool:
        """Whether a step did not do what it should."""
        return any(outcome.state in BAD for outcome in self.outcomes.values())

    def _write(self) -> None:
        told = self._about | {"steps": [_as_json(outcome) for outcome in self.outcomes.values()]}
        _replace(self._output / "results.json", json.dumps(told, indent=1) + "\n")
        _replace(self._output / "table.md", self.table() + "\n")


def _as_json(outcome: Outcome) -> dict[str, Any]:
    rows = [asdict(row) | {"ratio": row.ratio, "reached": row.reached} for row in outcome.rows]
    return asdict(outcome) | {"rows": rows}


def _replace(path: Path, text: str) -> None:
    """Whoever reads the file while the run is cut off reads the old one or the new one."""
    new = path.with_suffix(".new")
    new.write_text(text, encoding="utf-8")
    new.replace(path)
