"""How far a long command has come: a bar on a terminal, a line every so often, or nothing, elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Any, Self, TextIO

DEFAULT_LOG_INTERVAL = 10_000

_BAR = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"


class Progress:
    """Counts documents and bytes, and shows them on ``stream``; a context manager.

    Parameters
    ----------
    label
        What is going on.
    total
        The position at which it will be done; bytes of whatever kind the position counts.
    log_interval
        Documents between two lines, where ``stream`` is not a terminal.
    stream
        Where to write; by default standard error.
    """

    def __init__(self, label: str, total: int, *, log_interval: int, stream: TextIO | None = None) -> None:
        self._label = label
        self._stream = sys.stderr if stream is None else stream
        self._interval = log_interval
        self._documents = self._bytes = 0
        self._begin = time.monotonic()
        self._bar = _bar(label, total, self._stream) if self._stream.isatty() else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def advance(self, documents: int, utf8_bytes: int, position: int | None = None) -> None:
        """Report some more documents, their UTF-8 bytes, and by how much the position moved (default: the bytes)."""
        before, self._documents = self._documents, self._documents + documents
        self._bytes += utf8_bytes
        if self._bar is not None:
            self._bar.set_postfix_str(self._rates(), refresh=False)
            self._bar.update(utf8_bytes if position is None else position)
        elif self._documents // self._interval > before // self._interval:
            print(f"{self._label}: {self._rates()}", file=self._stream, flush=True)

    def summary(self) -> str:
        """What was done, how fast."""
        return f"{self._label}: {self._rates()}"

    def _rates(self) -> str:
        seconds = max(time.monotonic() - self._begin, 1e-9)
        return (
            f"{self._documents:,} documents, {self._bytes / 1e6:,.1f} MB "
            f"({self._documents / seconds:,.0f} documents/s, {self._bytes / seconds / 1e6:.1f} MB/s)"
        )


class Steps:
    """Counts steps of one kind, and shows them on ``stream``; a context manager.

    Parameters
    ----------
    label
        What is going on.
    total
        How many there will be.
    unit
        What is counted, in the plural.
    shown
        Whether to show anything: of several processes that do the same, one does.
    log_interval
        Steps between two lines, where ``stream`` is not a terminal; None for no lines.
    stream
        Where to write; by default standard error.
    """

    def __init__(
        self,
        label: str,
        total: int,
        unit: str,
        *,
        shown: bool = True,
        log_interval: int | None = None,
        stream: TextIO | None = None,
    ) -> None:
        self._label, self._total, self._unit = label, total, unit
        self._stream = sys.stderr if stream is None else stream
        self._interval = log_interval
        self._done = 0
        self._begin = time.monotonic()
        terminal = self._stream.isatty()
        self._bar = _bar(label, total, self._stream) if shown and terminal else None
        self._lines = shown and not terminal and log_interval is not None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def advance(self, steps: int, note: str = "") -> None:
        """Report some more steps, with what is to be said of the last of them."""
        before, self._done = self._done, self._done + steps
        told = ", ".join(filter(None, [f"{self._done:,} of {self._total:,} {self._unit}", note]))
        if self._bar is not None:
            self._bar.set_postfix_str(told, refresh=False)
            self._bar.update(steps)
        elif self._lines and self._done // (self._interval or 1) > before // (self._interval or 1):
            print(f"{self._label}: {told}, {self._left()} left", file=self._stream, flush=True)

    def reach(self, done: int, note: str = "") -> None:
        """Report that so many steps are done in all, as :meth:`advance`."""
        self.advance(done - self._done, note)

    def _left(self) -> str:
        """The time that the rest will take if it goes on as it has gone."""
        spent = time.monotonic() - self._begin
        return _clock(spent / max(self._done, 1) * max(self._total - self._done, 0))


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}"


def _bar(label: str, total: int, stream: TextIO) -> Any:
    """A bar on a terminal; its package is loaded only where there is one."""
    from tqdm import tqdm

    return tqdm(total=total, desc=label, file=stream, bar_format=_BAR, dynamic_ncols=True)
