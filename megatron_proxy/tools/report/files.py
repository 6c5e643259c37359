"""The files of a run: its own records, training logs, evaluations and generations, told apart by what is in them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ...errors import ConfigurationError
from .recorded import is_record
from .training_log import plain

_LOGS: Final = (".log", ".txt", ".out", ".err")
# torchrun keeps a process's output at LOG_DIR/RUN/attempt_0/0/stdout.log.
_DEPTH: Final = 4
_MARK: Final = "iteration"


@dataclass
class RunFiles:
    """What a run consists of.

    Parameters
    ----------
    logs
        Text of each file with lines of Megatron's training log, by path.
    evaluations
        The JSON objects that ``megatron-proxy evaluate --output`` wrote.
    generations
        The lines that ``megatron-proxy generate`` wrote.
    records
        What the run recorded of itself, by path.
    """

    logs: dict[str, list[str]] = field(default_factory=dict)
    evaluations: list[dict[str, Any]] = field(default_factory=list)
    generations: list[dict[str, Any]] = field(default_factory=list)
    records: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


def find(path: Path) -> RunFiles:
    """The files of the run at ``path``: a folder, or one file of records or log.

    Raises
    ------
    ConfigurationError
        Nothing is there, it cannot be read, or it is a file and no text.
    """
    if not path.exists():
        raise ConfigurationError(
            "there is no such file or folder", where=str(path), fix="name a run's folder, or its log"
        )
    files = RunFiles()
    if path.is_file():
        if path.suffix == ".jsonl":
            _take_lines(path, files)
        if not files.records:
            lines = _text(path)
            if lines is None:
                raise ConfigurationError(
                    "is no text, so no training log", where=str(path), fix="name what the training script printed"
                )
            files.logs[str(path)] = lines
        return files
    for found in _walk(path, _DEPTH):
        _take(found, files)
    return files


def _walk(folder: Path, depth: int) -> Iterator[Path]:
    """Files below ``folder``, in order of their names; no checkpoints, which hold thousands."""
    for path in sorted(folder.iterdir()):
        if path.is_file():
            yield path
        elif path.is_dir() and depth > 1 and not path.name.startswith(("iter_", ".")):
            yield from _walk(path, depth - 1)


def _take(path: Path, files: RunFiles) -> None:
    """Add ``path`` to where it belongs; a file of another kind is passed over."""
    if path.suffix in _LOGS:
        lines = _text(path)
        if lines and any(_MARK in line for line in lines):
            files.logs[str(path)] = lines
    elif path.suffix == ".json":
        content = _json(_bytes(path))
        if isinstance(content, dict) and "bpb" in content and "view" in content:
            files.evaluations.append(content)
    elif path.suffix == ".jsonl":
        _take_lines(path, files)


def _take_lines(path: Path, files: RunFiles) -> None:
    """Add records of a run, or generations; of a file of other lines (a corpus) only the first is looked at."""
    with path.open("rb") as file:
        contents = map(_json, file)
        first: Any = next(contents, None)
        if is_record(first):
            # What a killed run left of a line is none.
            files.records[str(path)] = [first, *filter(is_record, contents)]
        else:
            files.generations += itertools.takewhile(_is_generation, itertools.chain([first], contents))


def _is_generation(content: Any) -> bool:
    return isinstance(content, dict) and {"prompt", "completion"} <= content.keys()


def _text(path: Path) -> list[str] | None:
    """Lines of a log, without a terminal's colours; None if it is binary."""
    content = _bytes(path)
    return None if b"\0" in content else plain(content.decode("utf-8", "replace")).splitlines()


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"cannot be read ({error.strerror})", where=str(path)) from error


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None
