"""Files behind addresses such as ``s3://bucket/key``, by the package fsspec, and files of this machine alike.

Each protocol needs a package of its own, which the extra ``remote`` brings: without it, an address is a
ConfigurationError. What the packages raise becomes an error of the system, as of any file that cannot be read.
"""

from __future__ import annotations

import errno
import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, Final

from ...errors import ConfigurationError, ProxyError
from .. import extras

_ADDRESS: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_PACKAGES: Final = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "http": "aiohttp", "https": "aiohttp"}
_BUFFER_BYTES: Final = 1 << 20


def is_remote(path: str) -> bool:
    """Whether a path is an address."""
    return _ADDRESS.match(path) is not None


def open_file(path: str, buffering: int = -1) -> BinaryIO:
    """A file for reading, wherever it is."""
    if not is_remote(path):
        return open(path, "rb", buffering=buffering)
    system, name = _system_of(path)
    with _as_of_the_system():
        return io.BufferedReader(_Remote(system.open(name, "rb")), _BUFFER_BYTES)


def size_of(path: str) -> int:
    """The size of a file in bytes, wherever it is; 0 where that is not told. An address of a folder is an OSError."""
    if not is_remote(path):
        return os.path.getsize(path)
    system, name = _system_of(path)
    with _as_of_the_system():
        found = system.info(name)
    if found.get("type") == "directory":
        raise IsADirectoryError(errno.EISDIR, "it is a folder: name the files in it")
    return int(found.get("size") or 0)


def matching(pattern: str) -> list[str]:
    """The addresses that a glob names, sorted; an address without wildcards names itself."""
    # In addresses of http a question mark begins the query.
    if not re.search(r"[*\[]" if pattern.startswith("http") else r"[*?\[]", pattern):
        return [pattern]
    system, name = _system_of(pattern)
    with _as_of_the_system():
        return sorted(system.unstrip_protocol(found) for found in system.glob(name))


def _system_of(path: str) -> tuple[Any, str]:
    """Fsspec's file system for an address, and what the address is called there."""
    try:
        import fsspec
    except ImportError as error:
        raise extras.missing("fsspec", path) from error
    try:
        with _as_of_the_system():
            system, name = fsspec.core.url_to_fs(path)
    except ImportError as error:
        protocol = path.partition(":")[0].lower()
        if protocol in _PACKAGES:
            raise extras.missing(_PACKAGES[protocol], path) from error
        raise ConfigurationError(
            f"a package is missing for {protocol}:// ({error})", where=path, fix="install it, or copy the file here"
        ) from error
    return system, str(name)


@contextmanager
def _as_of_the_system() -> Iterator[None]:
    """Whatever a package raises, as an error of the system that says something."""
    try:
        yield
    except (ProxyError, ImportError):
        raise
    except FileNotFoundError as error:
        raise FileNotFoundError(errno.ENOENT, "No such file") from error
    except Exception as error:
        said = str(error) or "nothing more is said"
        raise OSError(errno.EIO, f"{type(error).__name__}: {said}") from error


class _Remote(io.RawIOBase):
    """A file of fsspec's."""

    def __init__(self, file: Any) -> None:
        super().__init__()
        self._file = file

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """As far as its server goes along."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read some bytes into a buffer."""
        with _as_of_the_system():
            found = self._file.read(len(buffer))
        buffer[: len(found)] = found
        return len(found)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a place."""
        with _as_of_the_system():
            return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        """The place."""
        return int(self._file.tell())

    def close(self) -> None:
        """Close it."""
        self._file.close()
        super().close()
