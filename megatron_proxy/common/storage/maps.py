"""Files mapped into memory, and the number of files that a process may hold.

A map holds its file open for as long as it is used (before Python 3.13, which lets go of it). A blend of many prefixes
so comes near the soft limit of 1,024 files that systems set; the hard limit is far above it.
"""

from __future__ import annotations

import errno
import mmap
import resource
import sys
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from ...errors import ConfigurationError

# Some C libraries go through all numbers below the limit, which containers set to a thousand million.
_ENOUGH: Final = 1 << 20


def map_file(file: BinaryIO) -> NDArray[np.uint8]:
    """The bytes of an open file that is not empty, read-only: uint8, shape (bytes,).

    Raises
    ------
    ConfigurationError
        If this process may hold no more files.
    MemoryError
        If there is no room for the map.
    OSError
        If the file cannot be mapped for another reason.
    """
    untracked: dict[str, Any] = {"trackfd": False} if sys.version_info >= (3, 13) else {}
    try:
        # A plain array on the map: indexing an np.memmap costs several times more.
        return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ, **untracked), dtype=np.uint8)
    except OSError as error:
        check_limit(error)
        raise


def check_limit(error: OSError) -> None:
    """Tell of the limit, by a ConfigurationError, if it was the reason that a file could not be opened.

    Where there was no memory, it is a MemoryError: nothing is wrong with the file.
    """
    if error.errno == errno.ENOMEM:
        raise MemoryError(error.strerror) from error
    if error.errno in (errno.EMFILE, errno.ENFILE):
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        raise ConfigurationError(
            f"this process may hold no more than {limit:,} files open ({error.strerror})",
            where="ulimit -n",
            fix="raise the limit where the job starts (ulimit -n 65536), or blend fewer prefixes: merge shards",
        ) from error


def raise_limit() -> None:
    """Let this process, and those that it starts, hold as many files as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = _ENOUGH if hard == resource.RLIM_INFINITY else min(hard, _ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
