"""What a command was asked for, on standard output: text for people, or with ``--json`` one object and nothing else."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from ..common import readable_json


def add_json(parser: argparse._ActionsContainer) -> None:
    """``--json``."""
    parser.add_argument(
        "--json", action="store_true", help="print the result as one JSON object, and nothing else on standard output"
    )


@dataclass(frozen=True)
class Answer:
    """Where the answer goes, and whether ``--json`` is given."""

    stream: TextIO
    as_json: bool

    def text(self, text: str) -> None:
        """A part of the answer for people, at once; nothing with ``--json``."""
        if not self.as_json:
            print(text, file=self.stream, flush=True)

    def content(self, content: Mapping[str, Any]) -> None:
        """The whole answer for programs; nothing without ``--json``."""
        if self.as_json:
            show(content, self.stream)


@contextmanager
def answering(args: argparse.Namespace) -> Iterator[Answer]:
    """While the command works; with ``--json``, whatever else is printed meanwhile goes to standard error."""
    stream = sys.stdout
    with redirect_stdout(sys.stderr) if args.json else nullcontext():
        yield Answer(stream, args.json)


def show(content: Any, stream: TextIO | None = None, *, indent: int | None = 2) -> None:
    """Print JSON, by default on standard output, in letters that it has."""
    stream = sys.stdout if stream is None else stream
    print(readable_json.text(content, indent=indent, encoding=stream.encoding or "utf-8"), file=stream, flush=True)


def save(content: Any, path: str) -> None:
    """Write the JSON file that ``--output`` names."""
    # Not for `doctor`, which answers where nothing is installed.
    from ..common.storage.files import write_output

    write_output(Path(path), readable_json.file(content))
