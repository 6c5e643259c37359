"""Which files a stretch of code opens, by an audit hook: every opening of this process is heard, Python's own too."""

import os
import sys
from collections import Counter
from contextlib import contextmanager

_listeners = []


def _hear(event, arguments):
    if event == "open" and _listeners and isinstance(arguments[0], str | bytes | os.PathLike):
        for heard in _listeners:
            heard.append(os.fsdecode(arguments[0]))


sys.addaudithook(_hear)


@contextmanager
def opened(folder):
    """Counts, by name, the openings of files below ``folder`` while the context lasts."""
    heard, counts = [], Counter()
    _listeners.append(heard)
    try:
        yield counts
    finally:
        _listeners.remove(heard)
        counts.update(os.path.relpath(path, folder) for path in heard if path.startswith(f"{folder}{os.sep}"))
