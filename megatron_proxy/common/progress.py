"""How far a long command has come: a bar on a terminal, a line every so often, or nothing, elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, Self, TextIO

DEFAULT_LOG_INTERVAL = 10_000

_BAR = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"


class _Shown:
    """A count that is shown: by a bar on a terminal, else by a line every so often; a context manager."""

    def __init__(self, label: str, total: int, log_interval: int | None, stream: TextIO | None, shown: bool) -> None:
        self._label = label
        self._stream = sys.stderr if stream is None else stream
        self._interval = log_interval if shown else None
        self._done = 0
        self._begin = time.monotonic()
        self._bar: Any = None
        if shown and self._stream.isatty():
            # Its package is loaded only where there is a terminal.
            from tqdm import tqdm

            self._bar = tqdm(total=total, desc=label, file=self._stream, bar_format=_BAR, dynamic_ncols=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def _count(self, more: int, moved: int, told: Callable[[], str], left: Callable[[], str] = str) -> None:
        """Count some more, which moves the bar so far; a line tells what is left, too."""
        before, self._done = self._done, self._done + more
        if self._bar is not None:
            self._bar.set_postfix_str(told(), refresh=False)
            self._bar.update(moved)
        elif self._interval is not None and self._done // self._interval > before // self._interval:
            print(f"{self._label}: {told()}{left()}", file=self._stream, flush=True)


class Progress(_Shown):
    """Counts documents and bytes, and shows them on ``stream`` (by default standard error).

    ``total`` is the position at which it will be done, in bytes of whatever kind the position counts. Where ``stream``
    is no terminal, ``log_interval`` documents are between two lines.
    """

    def __init__(self, label: str, total: int, *, log_interval: int, stream: TextIO | None = None) -> None:
        super().__init__(label, total, log_interval, stream, shown=True)
        self._bytes = 0

    def advance(self, documents: int, utf8_bytes: int, position: int | None = None) -> None:
        """Report some more documents, their UTF-8 bytes, and by how much the position moved (default: the bytes)."""
        self._bytes += utf8_bytes
        self._count(documents, utf8_bytes if position is None else position, self._rates)

    def _rates(self) -> str:
        seconds = max(time.monotonic() - self._begin, 1e-9)
        return (
            f"{self._done:,} documents, {self._bytes / 1e6:,.1f} MB "
            f"({self._done / seconds:,.0f} documents/s, {self._bytes / seconds / 1e6:.1f} MB/s)"
        )


class Steps(_Shown):
    """Counts steps of one kind, and shows them on ``stream`` (by default standard error).

    ``unit`` is what is counted, in the plural. Of several processes that do the same, one does it ``shown``. Where
    ``stream`` is no terminal, ``log_interval`` steps are between two lines; None for no lines.
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
        super().__init__(label, total, log_interval, stream, shown)
        self._total, self._unit = total, unit

    def advance(self, steps: int, note: str = "") -> None:
        """Report some more steps, with what is to be said of the last of them."""
        said = f", {note}" if note else ""
        self._count(steps, steps, lambda: f"{self._done:,} of {self._total:,} {self._unit}{said}", self._left)

    def reach(self, done: int, note: str = "") -> None:
        """Report that so many steps are done in all, as :meth:`advance`."""
        self.advance(done - self._done, note)

    def _left(self) -> str:
        """The time that the rest will take if it goes on as it has gone."""
        spent = time.monotonic() - self._begin
        left = spent / max(self._done, 1) * max(self._total - self._done, 0)
        minutes, seconds = divmod(round(left), 60)
        return f", {minutes}:{seconds:02} left"
