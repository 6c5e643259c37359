"""Whether planning outlasts the patience of the other ranks, which wait for the first one in a barrier."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Final

from ..data.sampling.plan import Parts, PlanSpec

# The first chunks are no measure: pages come from the disk, loops are compiled.
_MEASURED_SECONDS: Final = 10.0


class Patience:
    """Measures how fast plans are made, and warns once if they will take longer than the other ranks wait.

    Parameters
    ----------
    seconds
        How long the others wait.
    warn
        Called with the seconds that planning will take in all, as far as is known.
    clock
        Tells seconds.
    """

    def __init__(
        self, seconds: float, warn: Callable[[float], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds = seconds
        self._warn = warn
        self._clock = clock
        self._spent = 0.0
        self._warned = False

    def watch(self, parts: Iterator[Parts], spec: PlanSpec) -> Iterator[Parts]:
        """The same parts of a plan. In a blend all plans are made in one wait, so their times add up."""
        begin, done = self._clock(), 0
        # One epoch ends with its documents, any other plan with its windows.
        counted, total = ("draw_documents", len(spec.documents))
        if spec.num_windows is not None:
            counted, total = "sample_index", spec.num_windows
        for part in parts:
            yield part
            done += len(part.get(counted, ()))
            self._look(self._clock() - begin, done / total)
        self._spent += self._clock() - begin

    def _look(self, seconds: float, share: float) -> None:
        if self._warned or not share or self._spent + seconds < min(_MEASURED_SECONDS, self._seconds):
            return
        expected = self._spent + seconds / min(share, 1.0)
        if expected > self._seconds:
            self._warned = True
            self._warn(expected)
