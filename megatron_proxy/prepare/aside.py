"""A thread beside this one, for checksums: they release the interpreter's lock, and cost as much as all the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final

# Below this, handing over takes longer than the checksum.
_LARGE: Final = 1 << 15


class Aside:
    """Does one thing at a time in a thread of its own, which starts when it is first needed."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1)

    @contextmanager
    def doing(self, work: Callable[[Any], object], content: Any, size: int) -> Iterator[None]:
        """Do ``work(content)``, a content of ``size`` bytes, while the body of the ``with`` runs; wait for both."""
        if size < _LARGE:
            work(content)
            yield
            return
        try:
            done = self._thread.submit(work, content)
        except RuntimeError:
            # No room for one more thread.
            work(content)
            yield
            return
        try:
            yield
        finally:
            done.result()

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown()
