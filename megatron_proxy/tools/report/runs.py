"""One run: its log, merged over restarts, against steps, FLOPs and source bytes; its evaluations and generations."""

from __future__ import annotations

import itertools
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from ...errors import ConfigurationError
from . import files, flops, recorded, settings, training_log
from .recorded import Recorded
from .settings import RunSettings
from .training_log import Entry, TrainingLog

VIEWS: Final = ("raw", "compressed")
_TIME: Final = re.compile(r"\[(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[.\d]*)\] iteration ")
# What is not below this (NaN is not) cannot be drawn.
MOST: Final = 1e30
_NAN_ITERATIONS: Final = "number of nan iterations"
AXES: Final = ("steps", "FLOPs", "source bytes")


@dataclass(frozen=True)
class Evaluation:
    """What ``megatron-proxy evaluate`` said: BPB of held-out documents in one view, after some iteration."""

    bpb: float
    iteration: int
    accuracy: float | None


@dataclass(frozen=True)
class Generation:
    """A prompt, and what the model wrote behind it."""

    prompt: str
    completion: str


@dataclass(frozen=True)
class RecordedRun:
    """All that is known of a run.

    Parameters
    ----------
    name
        What it is called on the page.
    log
        Training and validation lines in order of their iterations, each iteration once.
    settings
        Megatron's arguments and the model's size.
    evaluations, generations
        What was found beside the log; of each view the evaluation of the latest iteration.
    began, ended
        When the first and the last line of training were printed (``2026-01-02 03:04:05``); None where Megatron
        prints no time.
    """

    name: str
    log: TrainingLog
    settings: RunSettings
    evaluations: Mapping[str, Evaluation] = field(default_factory=dict)
    generations: Sequence[Generation] = ()
    began: str | None = None
    ended: str | None = None
    _points: dict[tuple[str, str, bool], list[tuple[float, float]]] = field(default_factory=dict, init=False)

    @property
    def steps(self) -> int:
        """The last iteration."""
        return self.log.training[-1].iteration

    @property
    def tokens(self) -> int | None:
        """Ids that the model was trained on."""
        samples, length = self.last("consumed samples"), self.settings.number("seq_length")
        return None if samples is None or length is None or not abs(samples) < MOST else int(samples) * length

    def last(self, name: str, *, validation: bool = False) -> float | None:
        """The last printed value of a field; None if it never was."""
        values = self.log.series(name, validation=validation)[1]
        return values[-1] if values else None

    @cached_property
    def places(self) -> dict[str, list[tuple[int, float]]]:
        """By axis, (iteration, place on the axis) of each training line, rising; empty where the log does not tell.

        Found once: a page asks dozens of times, and logs have a hundred thousand lines.
        """
        lines = self.log.training
        steps = [(entry.iteration, float(entry.iteration)) for entry in lines]
        found = zip(AXES, (steps, _flops(lines, self.settings), _source_bytes(lines)), strict=True)
        return {axis: [(at, place) for at, place in places if abs(place) < MOST] for axis, places in found}

    def points(self, name: str, axis: str, *, validation: bool = False) -> list[tuple[float, float]]:
        """A field against an axis; a training value is its interval's mean, placed at the interval's end."""
        key, places = (name, axis, validation), self.places[axis]
        if not places:
            return []
        if key not in self._points:
            there = dict(places)
            series = zip(*self.log.series(name, validation=validation), strict=True)
            finite = ((at, value) for at, value in series if abs(value) < MOST)
            self._points[key] = [
                (there[at] if at in there else interpolated(places, at), value) for at, value in finite
            ]
        return self._points[key]

    @property
    def flops(self) -> float | None:
        """FLOPs of the whole training."""
        places = self.places["FLOPs"]
        return places[-1][1] if places else None

    def lacks(self) -> list[str]:
        """What the page cannot show of this run, in words."""
        found = []
        # How often the loss was no number, by the end of an interval: Megatron then prints none of its measures.
        times = zip(*self.log.series(_NAN_ITERATIONS), strict=True)
        if lost := {at: count for at, count in times if 0 < count < MOST}:
            found.append(f"no loss in {sum(lost.values()):,.0f} iterations: it was no number, first by {min(lost)}")
        if not any(self.log.series(f"{view} bpb")[0] for view in VIEWS):
            found.append("no BPB in the log: it is there when --proxy-compression is given")
        if not self.places["FLOPs"]:
            found.append("no FLOPs: the log has neither the arguments of a dense GPT nor a throughput")
        if not self.places["source bytes"]:
            found.append("no source bytes in the log: they are there when --proxy-compression is given")
        if not self.log.validation:
            found.append("no validation in the log")
        if not self.evaluations:
            found.append("no evaluation: megatron-proxy evaluate --output FILE.json, in the run's folder")
        return found


def read_run(path: str | Path, name: str | None = None) -> RecordedRun:
    """Read the run at ``path``: a folder, or a log file.

    Parameters
    ----------
    path
        A folder with what the run recorded (``proxy-metrics.jsonl``), or else with Megatron's output in ``.log``,
        ``.txt``, ``.out`` or ``.err`` files, and optionally the files that ``evaluate --output`` (``.json``) and
        ``generate`` (``.jsonl``) wrote; or one file of records or output.
    name
        What to call it; by default the file's or folder's name.

    Raises
    ------
    ConfigurationError
        Nothing is there, a log is binary, or there is no iteration in it.
    """
    path = Path(path)
    found = files.find(path)
    told = {at: recorded.read(lines) for at, lines in found.records.items()}
    if not any(one.starts for one in told.values()):
        told = {at: _logged(lines) for at, lines in found.logs.items()}
    told = {at: one for at, one in told.items() if one.starts}
    if not told:
        raise ConfigurationError(
            "no line of Megatron's training log is in it, such as 'iteration 10/ 300 | consumed samples: …'",
            where=str(path),
            fix="name what the training script printed, or a folder with it in .log, .txt, .out or .err files",
        )
    order = sorted(told, key=lambda at: (next(iter(told[at].times), ""), told[at].starts[0].training[0].iteration, at))
    given = told[order[-1]].settings
    if found.logs and not given.parameters_of:
        # Of a model that is split over ranks, the one that records knows its own part only.
        given.parameters_of = _logged(found.logs[max(found.logs)]).settings.parameters_of
    times = sorted(time for one in told.values() for time in one.times if time)
    return RecordedRun(
        name or path.resolve().name.removesuffix(".log"),
        _joined([log for at in order for log in told[at].starts]),
        given,
        _evaluations(found.evaluations),
        [Generation(str(line["prompt"]), str(line["completion"])) for line in found.generations],
        *((times[0], times[-1]) if times else ()),
    )


def interpolated(places: Sequence[tuple[int, float]], iteration: int) -> float:
    """Where an iteration lies on an axis whose places at some iterations are known; 0 lies at 0."""
    at = bisect_left(places, iteration, key=lambda place: place[0])
    if at == len(places):
        return places[-1][1]
    (before, low), (after, high) = places[at - 1] if at else (0, 0.0), places[at]
    return low + (high - low) * (iteration - before) / (after - before) if after > before else high


def _logged(lines: Sequence[str]) -> Recorded:
    """What one log tells; of times only the first and the last, and none where Megatron prints no time."""
    starts = [log for log in map(training_log.parse, _starts(lines)) if log.training]
    times = [next((match[1] for match in map(_TIME.search, way) if match), "") for way in (lines, reversed(lines))]
    return Recorded(starts, settings.parse(lines), [time for time in times if time])


def _starts(lines: Sequence[str]) -> Iterator[Sequence[str]]:
    """A log in pieces, one for each start of the training script: a run may be resumed into the same file."""
    begins = [place for place, line in enumerate(lines) if settings.BEGIN in line]
    for begin, end in itertools.pairwise([0, *begins, len(lines)]):
        yield lines[begin:end]


def _joined(logs: Iterable[TrainingLog]) -> TrainingLog:
    """Successive starts: what one repeats, after its checkpoint, replaces all that the starts before printed."""
    training: list[Entry] = []
    validation: list[Entry] = []
    for log in logs:
        # Of validation too, also where this start has validated nothing yet.
        while validation and validation[-1].iteration >= log.training[0].iteration:
            validation.pop()
        _append(training, log.training)
        _append(validation, log.validation)
    return TrainingLog(training, validation)


def _append(merged: list[Entry], entries: Iterable[Entry]) -> None:
    """Add entries in the place of those that are not before them."""
    for entry in entries:
        while merged and merged[-1].iteration >= entry.iteration:
            merged.pop()
        merged.append(entry)


def _source_bytes(entries: Sequence[Entry]) -> list[tuple[int, float]]:
    seen = [(entry.iteration, [entry.values.get(f"{view} bytes seen") for view in VIEWS]) for entry in entries]
    return [(iteration, sum(filter(None, both))) for iteration, both in seen if None not in both]


def _flops(entries: Sequence[Entry], model: RunSettings) -> list[tuple[int, float]]:
    each, length = flops.per_token(model), model.number("seq_length")
    if each is not None and length is not None:
        samples = [(entry.iteration, entry.values.get("consumed samples")) for entry in entries]
        return [(iteration, each * length * count) for iteration, count in samples if count is not None]
    places: list[tuple[int, float]] = []
    before, total = 0, 0.0
    for entry in entries:
        one = flops.per_iteration(model, entry)
        if one is None:
            return []
        total += one * (entry.iteration - before)
        before = entry.iteration
        places.append((entry.iteration, total))
    return places


def _evaluations(contents: Iterable[Mapping[str, Any]]) -> dict[str, Evaluation]:
    """By view, that of the latest iteration."""
    found: dict[str, Evaluation] = {}
    for content in contents:
        view, bpb, iteration = content["view"], content["bpb"], content.get("iteration")
        if view not in VIEWS or not _is_number(bpb) or not isinstance(iteration, int):
            continue
        if view not in found or found[view].iteration <= iteration:
            accuracy = content.get("accuracy")
            found[view] = Evaluation(float(bpb), iteration, accuracy if _is_number(accuracy) else None)
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) < MOST
