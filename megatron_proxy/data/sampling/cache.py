"""Plans on disk: computed once, then memory-mapped by every process of a run and by every run after it.

A plan is one file (:mod:`.plan_file`) in Megatron's cache folder, ``<key>-ProxyPlan.plan``. The key is the SHA-256 of a
canonical JSON description of all that determines the plan, so another seed, schedule or view means another file, and a
stale plan cannot be taken for a fresh one.

A file that has the time it was written at need not be read again to be trusted: any later change, and most ways of
copying, give it another time. Only then is every byte compared with its CRC-32, once per process, by those that may
build the plan anew (:func:`open_or_build`).
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from ...common.storage import filesystems, maps
from ...errors import DatasetError
from . import plan_file
from .plan import Parts
from .plan_file import Arrays, PlanFile

Build = Callable[[], Iterator[Parts]]
"""Starts the work; its parts hold the next rows of some arrays, by name."""

ATTRIBUTES_SECONDS: Final = 60.0
"""For so long a client of a network file system may not know of a new file (the usual limit of NFS)."""

_DAY: Final = 24 * 60 * 60.0
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 2.0
_LOG: Final = logging.getLogger(__name__)


def key_of(description: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of the canonical JSON of a description."""
    return hashlib.sha256(_canonical(description).encode()).hexdigest()


def open_or_build(folder: str | os.PathLike[str], description: Mapping[str, Any], build: Build) -> Arrays:
    """The plan of a description: opened if it is there whole, else built, written and opened.

    Parameters
    ----------
    folder
        The cache folder; made if it is missing.
    description
        All that determines the plan; JSON-able.
    build
        Called only if the plan has to be built. A damaged plan is built again, with a warning in the log. In a folder
        of this machine's own it is built by one process, for which the others wait.

    Returns
    -------
    The arrays by name, read-only memory maps.

    Raises
    ------
    DatasetError
        If the folder cannot be written (no space, no permission).
    """
    path = path_of(folder, description)
    if (found := _whole(path, description)) is not None:
        return found
    try:
        os.makedirs(folder, exist_ok=True)
        with _alone(path):
            if (found := _whole(path, description)) is not None:
                return found
            _remove_leftovers(path)
            plan_file.write(path, description, build())
    except OSError as error:
        maps.check_limit(error)
        raise DatasetError(
            f"the plan cannot be written here ({error.strerror})",
            where=os.fspath(folder),
            fix="free some space, or give another folder with --data-cache-path",
        ) from error
    return open_built(folder, description)


def open_built(folder: str | os.PathLike[str], description: Mapping[str, Any], wait: float = 0.0) -> Arrays:
    """The plan of a description that another process has built: read-only memory maps by name.

    One that is not there, or not whole, is looked for again for ``wait`` seconds (see :data:`ATTRIBUTES_SECONDS`);
    then a DatasetError.
    """
    path = path_of(folder, description)
    last, pause = time.monotonic() + wait, _FIRST_PAUSE
    while True:
        try:
            if (found := _load(path, description, every_byte=False)) is not None:
                return found
            raise DatasetError(
                "the plan that the first rank has built is not here",
                where=os.fspath(folder),
                fix="give a folder that all nodes share, or one on each node's own disk, with --data-cache-path",
            )
        except DatasetError:
            if time.monotonic() >= last:
                raise
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


def path_of(folder: str | os.PathLike[str], description: Mapping[str, Any]) -> Path:
    """Where the plan of a description is kept."""
    return Path(folder) / f"{key_of(description)}-ProxyPlan.plan"


def check(path: Path) -> int:
    """Compare every byte of a plan with its CRC-32, whatever its time; returns how many there are.

    One that is damaged is a DatasetError.
    """
    with PlanFile(path) as file:
        return file.check()


def _whole(path: Path, description: Mapping[str, Any]) -> Arrays | None:
    """The plan, if it is there and not damaged."""
    try:
        return _load(path, description, every_byte=True)
    except DatasetError as error:
        _LOG.warning("a cached plan is damaged and is built again: %s", error)
        return None


def _load(path: Path, description: Mapping[str, Any], *, every_byte: bool) -> Arrays | None:
    """The arrays of a plan; None if it is not there, a DatasetError if it is there and not whole."""
    try:
        opened = PlanFile(path)
    except FileNotFoundError:
        return None
    with opened as file:
        if _canonical(file.description) != _canonical(description):
            raise plan_file.damaged(path, "it describes another plan")
        if every_byte:
            _trust(file)
        return file.arrays()


_trusted: Final[set[tuple[int, int, int, int]]] = set()
"""Files that this process has read: device, inode, size and time."""


def _trust(file: PlanFile) -> None:
    """Read the whole file, unless nobody has changed it since it was written, or this process has read it before."""
    identity = file.identity
    if file.untouched or identity in _trusted:
        return
    file.check()
    _trusted.add(identity)
    # A copied plan is read once only, if it may be given its time back.
    with suppress(OSError):
        file.mark_untouched()


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Build a plan in one process of this machine at a time; the kernel ends the lock with its process.

    Locks over a network may hang. There, the first rank builds alone.
    """
    if filesystems.is_shared(path.parent):
        yield
        return
    lock = path.with_name(f".{path.name}.lock")
    with lock.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def _remove_leftovers(path: Path) -> None:
    """Delete what a killed builder of this plan has left; a living one has written within a day."""
    for left in path.parent.glob(f".{path.stem}*"):
        # Another builder may finish or clean up at the same time.
        with suppress(FileNotFoundError):
            if left.stat().st_mtime < time.time() - _DAY:
                left.unlink()


def _canonical(description: object) -> str:
    return json.dumps(description, sort_keys=True, separators=(",", ":"), allow_nan=False)
