"""One run per prefix at a time."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ...errors import DatasetError
from ..dataset.layout import Layout
from .staging import writing


@dataclass
class Lock:
    """A lock that is held.

    Parameters
    ----------
    cut_off
        Whether a run before this one was cut off, so that files without a manifest entry are its leftovers.
    publishing
        To be set while files are renamed into place before the manifest names them. If the run ends then, for
        whatever reason, the lock file stays behind and tells the next run.
    """

    cut_off: bool
    publishing: bool = False


@contextmanager
def locked(prefix: str) -> Iterator[Lock]:
    """Hold the lock of a prefix.

    The kernel holds the lock for the process and gives it back when the process ends, however it ends, so there is
    no stale lock to clear away; only the file stays behind.

    Raises
    ------
    DatasetError
        If another process holds the lock, or the folder cannot be written to.
    """
    path = Layout(prefix).lock
    with writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = _acquire(path, prefix)
    lock = Lock(cut_off=os.fstat(descriptor).st_size > 0)
    try:
        with writing(path.parent):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        yield lock
    finally:
        if not lock.publishing:
            path.unlink(missing_ok=True)
        os.close(descriptor)


def _acquire(path: Path, prefix: str) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_still_there(descriptor, path):
                return descriptor
        except OSError as error:
            holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip()
            os.close(descriptor)
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            raise DatasetError(
                f"another run is preparing {prefix!r} ({holder or 'just started'})",
                where=str(path),
                fix="wait for it, or choose another --output-prefix",
            ) from error
        # The holder before us has just removed the file: lock the new one.
        os.close(descriptor)


def _is_still_there(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False
