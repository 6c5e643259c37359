"""What a model writes for each problem, kept line by line: a run that was interrupted goes on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import batched
from pathlib import Path
from typing import Any, Final

from ...common import readable_json
from ...errors import ConfigurationError, CorpusError
from ...model.generation import Drafting, Limits, Sampling, generate
from ...model.network import ByteModel
from .tasks import Task

STOPS: Final = (b"\nclass", b"\ndef", b"\n#", b"\nif", b"\nprint")
"""Where a completion of a function ends: at the next statement outside of it (HumanEval's own list)."""

_HEADER: Final = "megatron_proxy completions"


class Completions:
    """A file of completions.

    Parameters
    ----------
    path
        JSON Lines: a line that tells the settings, then one for each completion.
    settings
        What determines the completions; a file of other settings is refused.

    Raises
    ------
    ConfigurationError
        If the file holds something else, or completions of other settings.
    """

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        self._path = path
        self._found: dict[tuple[str, int], str] = {}
        self._header = {"format": _HEADER, **settings}
        content = path.read_bytes() if path.exists() else b""
        # What follows the last newline was cut off in the middle.
        lines = content[: content.rfind(b"\n") + 1].splitlines()
        if lines:
            self._check(self._parse(lines[0], 1))
        for number, line in enumerate(lines[1:], 2):
            key, sample, completion = map(self._parse(line, number).get, ("key", "sample", "completion"))
            if not (isinstance(key, str) and isinstance(sample, int) and isinstance(completion, str)):
                raise CorpusError("the line is no completion: key, sample, completion", where=f"{path}:{number}")
            self._found[key, sample] = completion
        if content[-1:] not in (b"", b"\n"):
            with path.open("r+b") as file:
                file.truncate(content.rfind(b"\n") + 1)
        if not lines:
            path.write_text(readable_json.text(self._header) + "\n", encoding="utf-8")

    def _check(self, header: dict[str, Any]) -> None:
        if header.get("format") != _HEADER:
            raise ConfigurationError("the file holds something else", where=str(self._path))
        differing = sorted(name for name in self._header if header.get(name) != self._header[name])
        if differing:
            raise ConfigurationError(
                f"the completions in it were written with another {', '.join(differing)}",
                where=str(self._path),
                fix="give another --samples file, or the same settings",
            )

    def _parse(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            record = json.loads(line)
        except ValueError as error:
            raise CorpusError("the line is not JSON", where=f"{self._path}:{number}") from error
        if not isinstance(record, dict):
            raise CorpusError("the line is not a JSON object", where=f"{self._path}:{number}")
        return record

    def missing(self, tasks: Sequence[Task], samples: int) -> list[tuple[int, Task, int]]:
        """The completions still to be written: number of the problem, problem, number of the sample."""
        return [
            (number, task, sample)
            for number, task in enumerate(tasks)
            for sample in range(samples)
            if (task.key, sample) not in self._found
        ]

    def add(self, items: Sequence[tuple[Task, int, str]]) -> None:
        """Keep completions."""
        with self._path.open("a", encoding="utf-8") as file:
            for task, sample, completion in items:
                record = {"key": task.key, "sample": sample, "completion": completion}
                file.write(readable_json.text(record) + "\n")
                self._found[task.key, sample] = completion

    def of(self, task: Task, samples: int) -> list[str]:
        """The completions of a problem."""
        return [self._found[task.key, sample] for sample in range(samples)]


def write(
    model: ByteModel,
    tasks: Sequence[Task],
    kept: Completions,
    *,
    samples: int,
    limits: Limits,
    sampling: Sampling,
    batch: int,
    sentinels: bool = True,
    drafting: Drafting | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> None:
    """Write what is missing. A prompt that does not fit the context keeps its end."""
    room = model.architecture.context - 1
    generated = partial(generate, model, limits=limits, sampling=sampling, sentinels=sentinels, drafting=drafting)
    for group in batched(kept.missing(tasks, samples), batch):
        prompts = [task.prompt.encode("utf-8", "surrogateescape")[-room:] for _, task, _ in group]
        # Rows are numbered by problem and sample: an interrupted run draws the same numbers.
        rows = [number * samples + sample for number, _, sample in group]
        if sampling.temperature == 0.0 or rows == list(range(rows[0], rows[0] + len(rows))):
            texts = generated(prompts, first_row=rows[0])
        else:
            texts = [generated([prompt], first_row=row)[0] for prompt, row in zip(prompts, rows, strict=True)]
        written = (text.text.decode("utf-8", "replace") for text in texts)
        kept.add([(task, sample, text) for (_, task, sample), text in zip(group, written, strict=True)])
        progress(len(group))


def standard_limits(limits: Limits) -> Limits:
    """The limits with HumanEval's stop strings, unless others were given."""
    return limits if limits.stop else replace(limits, stop=STOPS)
