"""Reading Megatron's own training log: what was printed at which iteration.

Megatron prints one line per logging interval, fields parted by ``|``:

    iteration       20/     300 | consumed samples:          320 | lm loss: 4.1E+00 | … | mode: sentinel |

and one per validation, ``validation loss at iteration 100 on validation set | lm loss value: 3.2E+00 | …``; the line
about the test set, after the last iteration, is left out.

A log that was written through a terminal has its colours and titles between the words; they are no part of any value.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

# Control sequences, operating-system commands (titles, links), and the short escapes: ECMA-48.
_TERMINAL: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)?|[ -/]*[0-~])")
_ITERATION: Final = re.compile(r"iteration\s+(\d{1,15})/\s*\d+\s*\|")
_VALIDATION: Final = re.compile(r"validation loss at iteration (\d{1,15})(?! on test set)\b")
_MODE: Final = re.compile(r"\| mode: (\w+) \|")
# Megatron's format of numbers writes NAN and INF.
_NUMBER: Final = r"([-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|nan|inf|NAN|INF))"
_FIELD: Final = re.compile(rf"([A-Za-z][^|:\]]*?)(?: value)?:\s*{_NUMBER}(?=[\s|]|$)")


@dataclass(frozen=True)
class Entry:
    """One printed line: its iteration, fields by name (``{"lm loss": 4.1, "raw bpb": 5.0, …}``), and mode if any."""

    iteration: int
    values: dict[str, float]
    mode: str | None = None


@dataclass(frozen=True)
class TrainingLog:
    """The lines of one run, training and validation, in order of appearance."""

    training: list[Entry]
    validation: list[Entry]

    def series(self, field: str, *, validation: bool = False) -> tuple[list[int], list[float]]:
        """Iterations at which ``field`` was printed, and its values."""
        entries = [e for e in (self.validation if validation else self.training) if field in e.values]
        return [e.iteration for e in entries], [e.values[field] for e in entries]


def plain(text: str) -> str:
    """``text`` without what tells a terminal how to show it."""
    return _TERMINAL.sub("", text) if "\x1b" in text else text


def parse(lines: Iterable[str]) -> TrainingLog:
    """Read a log; lines of any other kind are passed over."""
    log = TrainingLog([], [])
    for line in map(plain, lines):
        if match := _VALIDATION.search(line):
            log.validation.append(Entry(int(match[1]), _fields(line[match.end() :])))
        elif match := _ITERATION.search(line):
            mode = _MODE.search(line)
            log.training.append(Entry(int(match[1]), _fields(line[match.end() :]), mode[1] if mode else None))
    return log


def _fields(text: str) -> dict[str, float]:
    return {name.strip(): float(value) for name, value in _FIELD.findall(text)}
