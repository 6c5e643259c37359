"""A thread beside this one, for checksums: they release the interpreter's lock, and cost as much as all the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
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
        done: Future[object] | None = None
        if size >= _LARGE:
            # No room for one more thread is an error at run time.
            with suppress(RuntimeError):
                done = self._thread.submit(work, content)
        if done is None:
            work(content)
        try:
            yield
        finally:
            if done is not None:
                done.result()

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown()
