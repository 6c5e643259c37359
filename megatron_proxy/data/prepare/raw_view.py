"""From JSONL to the raw view: workers parse, this process writes (or compares) in the order of the corpus."""

from __future__ import annotations

import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, TextIO

import numpy as np
from numpy.typing import NDArray

from ...common.parallel import Workers
from ...common.progress import Progress
from ...common.storage.remote import size_of
from ..corpus import Chunk, Joined, Source, bad_line, changed, chunks, read_joined
from ..corpus.chunk import LineNumbers
from ..corpus.decompress import STANDARD_INPUT
from ..dataset.layout import Layout, pending
from ..dataset.manifest import View
from ..dataset.reader import ViewReader
from .job import Job
from .staging import writing

_SHOWN_BAD_LINES: Final = 20


Sink = Callable[[bytes | memoryview, NDArray[np.int32]], None]
"""Takes documents of one key: their bytes one after the other, and the number of each; good during the call only."""


def parser(keys: Sequence[str]) -> Callable[[Chunk], Joined]:
    """What a worker does: from a chunk to its documents."""
    return partial(read_joined, keys)


class BadLines:
    """Counts and lists the lines passed over: all in a file of each dataset, the first few on ``stream`` too."""

    def __init__(self, datasets: Sequence[Layout], stream: TextIO | None = None) -> None:
        self.count = 0
        self.left_out: Counter[str] = Counter()
        """How many files were left out, by what they are."""
        self.path, *self._copies = (layout.skipped_lines for layout in datasets)
        self._pending = pending(self.path)
        self._stream = sys.stderr if stream is None else stream
        with writing(self.path):
            self._file = self._pending.open("w", encoding="utf-8", errors="surrogateescape")

    def add(self, where: str, reason: str) -> None:
        """List one line."""
        self.count += 1
        with writing(self.path):
            print(f"{where}: {reason}", file=self._file)
        if self.count <= _SHOWN_BAD_LINES:
            print(f"passed over {where}: {reason}", file=self._stream)
        elif self.count == _SHOWN_BAD_LINES + 1:
            print(f"more lines are passed over: {self.path} will list all of them", file=self._stream)

    def publish(self) -> None:
        """Keep the list, if it is not empty; a list of an earlier run goes."""
        with writing(self.path):
            self._file.close()
            for copy in self._copies:
                shutil.copyfile(self._pending, copy)
            os.replace(self._pending, self.path)
            if not self.count:
                for path in (self.path, *self._copies):
                    path.unlink()

    def close(self) -> None:
        """End, and remove the list if it is not published."""
        with suppress(OSError):
            self._file.close()
        self._pending.unlink(missing_ok=True)


def take(job: Job, files: Sequence[Source], sinks: Sequence[Sink], bad_lines: BadLines, progress: Progress) -> int:
    """Give the documents of the corpus to the sinks, one for each of the first keys; returns how many there were.

    Raises
    ------
    CorpusError
        A bad line (unless they are skipped), or a file that cannot be read or changes meanwhile.
    """
    count = 0
    numbers = LineNumbers()
    with Workers(partial(parser, job.read_keys), job.workers, preload=[__name__, *job.worker_modules]) as pool:
        for found in pool.map(chunks(files, shard=job.shard or (0, 1))):
            numbers.enter(found.stretch, found.lines)
            bad_lines.left_out.update(found.left_out)
            found = found if job.max_documents is None else found.first(job.max_documents - count)
            for bad in found.bad:
                where = numbers.where(bad)
                if not job.skip_bad_lines:
                    raise bad_line(where, bad, job.other_keys)
                bad_lines.add(where, bad.reason)
            for sink, (units, lengths) in zip(sinks, found.texts, strict=False):
                sink(units, lengths)
            documents = len(found.texts[0][1])
            count += documents
            progress.advance(documents, len(found.texts[0][0]), found.disk_bytes)
            if count == job.max_documents:
                break
    _check_unchanged(files)
    return count


def _check_unchanged(files: Sequence[Source]) -> None:
    for file in files:
        if os.path.isdir(file.path) or file.path == STANDARD_INPUT:
            continue
        with suppress(OSError):
            if size_of(file.path) == file.size:
                continue
        raise changed(file.path)


class Comparison:
    """A sink that checks that the documents are those of a raw view, of which ``stored`` is the manifest's entry."""

    def __init__(self, view: ViewReader, stored: View) -> None:
        self._view = view
        self._stored = stored
        self._bin = open(f"{view.path}.bin", "rb")  # noqa: SIM115 - closed by close()
        self._documents = 0

    def add(self, units: bytes | memoryview, lengths: NDArray[np.int32]) -> None:
        """Compare some documents with the view's next ones; raises :class:`Different` if they are not the same."""
        end = self._documents + len(lengths)
        if not np.array_equal(self._view.sequence_lengths[self._documents : end], lengths):
            raise Different(f"documents {self._documents + 1:,} to {end:,} are not as long as those of the raw view")
        # As bytes: views are compared byte by byte.
        if self._bin.read(len(units)) != bytes(units):
            raise Different(f"documents {self._documents + 1:,} to {end:,} are not those of the raw view")
        self._documents = end

    def finish(self) -> View:
        """Check that the view has no more documents; returns what the manifest says of it."""
        if self._documents != len(self._view):
            raise Different(f"{self._documents:,} documents, not {len(self._view):,}")
        return self._stored

    def close(self) -> None:
        """Close the view."""
        self._bin.close()


class Different(Exception):  # noqa: N818 - a finding, not an error
    """The corpus is not the one of the raw view."""
