"""What is written: nothing is replaced unasked, and a file or folder is whole or not there."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...errors import ConfigurationError


def require_free(path: str | os.PathLike[str], *, overwrite: bool, flag: str = "--output") -> None:
    """Check that nothing is at ``path``, or that it may be replaced; else a ConfigurationError names ``flag``."""
    if os.path.exists(path) and not overwrite:
        raise ConfigurationError(
            f"{os.fspath(path)!r} exists already", where=flag, fix="give another name, or --overwrite"
        )


def require_file(path: str | os.PathLike[str], *, overwrite: bool, flag: str = "--output") -> None:
    """Check that a file can be written at ``path`` once its content is known; its folder is made if need be.

    Else a ConfigurationError names ``flag``.
    """
    require_free(path, overwrite=overwrite, flag=flag)
    if os.path.isdir(path):
        raise ConfigurationError(f"{os.fspath(path)!r} is a folder", where=flag, fix="name a file")
    if _is_stream(path):
        return
    with _told_as(path, flag):
        folder = Path(path).parent
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()


@contextmanager
def _told_as(path: str | os.PathLike[str], flag: str) -> Iterator[None]:
    """Errors of the system name the flag that asked for ``path``."""
    try:
        yield
    except OSError as error:
        raise ConfigurationError(f"{os.fspath(path)!r} cannot be written ({error.strerror})", where=flag) from error


@contextmanager
def appearing(path: Path, *, beside: Path | None = None) -> Iterator[Path]:
    """A place beside ``path`` to write a file to, which then takes its name: readers see the old or the new one, whole.

    If writing it fails, it goes.

    Parameters
    ----------
    path
        Where the file will be.
    beside
        The place, for one writer at a time, who may be cut off: the next run uses it again. By default a new one.
    """
    made = beside is None
    if beside is None:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(descriptor)
        beside = Path(name)
    try:
        yield beside
        sync(beside)
        if made:
            beside.chmod(0o644)
        os.replace(beside, path)
    except BaseException as error:
        beside.unlink(missing_ok=True)
        _name(error, path)
        raise


def _name(error: BaseException, path: Path) -> None:
    """Have an error tell what was written, where the system does not: so it is on a full disk."""
    if isinstance(error, OSError) and error.filename is None:
        error.filename = str(path)


def replace_file(path: Path, content: bytes, *, beside: Path | None = None) -> None:
    """Write a file by :func:`appearing`."""
    with appearing(path, beside=beside) as place:
        place.write_bytes(content)


def write_output(path: Path, content: bytes, flag: str = "--output") -> None:
    """Write the file that a flag names, by :func:`replace_file`; links stay, and a pipe or a device is written to.

    If it cannot be written, a ConfigurationError names ``flag``.
    """
    with _told_as(path, flag):
        if _is_stream(path):
            path.write_bytes(content)
        else:
            replace_file(path.resolve(), content)


def _is_stream(path: str | os.PathLike[str]) -> bool:
    return os.path.exists(path) and not os.path.isfile(path)


def sync(path: str | os.PathLike[str]) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """A new folder beside ``folder`` to be filled, which takes its name and place; if filling it fails, it goes.

    If it cannot be made, a ConfigurationError.
    """
    with _told_as(folder, "--output"):
        folder.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        yield beside
        beside.chmod(0o755)
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(beside, folder)
    except BaseException as error:
        shutil.rmtree(beside, ignore_errors=True)
        _name(error, folder)
        raise
