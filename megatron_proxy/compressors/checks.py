"""Checks of options and of configurations that come from outside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import CompressorError


def option(options: Mapping[str, Any], compressor: str, name: str, low: int, high: int) -> int:
    """The whole number that was given for an option.

    Raises
    ------
    CompressorError
        Naming the flag, if it is not between ``low`` and ``high``.
    """
    value = options.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise CompressorError(f"{value!r} is not a whole number from {low} to {high}", where=f"--{compressor}-{name}")
    return value


def number(options: Mapping[str, Any], compressor: str, name: str, low: float, high: float) -> float:
    """The number that was given for an option.

    Raises
    ------
    CompressorError
        Naming the flag, if it is not between ``low`` and ``high``.
    """
    value = options[name]
    if not isinstance(value, int | float) or not low <= value <= high:
        raise CompressorError(f"{value!r} is not a number from {low:g} to {high:g}", where=f"--{compressor}-{name}")
    return float(value)


def choice(options: Mapping[str, Any], compressor: str, name: str, choices: Sequence[str]) -> str:
    """The word that was given for an option.

    Raises
    ------
    CompressorError
        Naming the flag, if it is none of ``choices``.
    """
    value = options.get(name)
    if not isinstance(value, str) or value not in choices:
        raise CompressorError(f"{value!r} is none of {', '.join(choices)}", where=f"--{compressor}-{name}")
    return value


def entry(config: Mapping[str, Any], key: str, kind: type | tuple[type, ...]) -> Any:
    """The entry ``key`` of a stored configuration.

    Raises
    ------
    CompressorError
        If it is missing or of another type.
    """
    value = config.get(key)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
        raise CompressorError(f"the compressor's configuration has no usable {key!r}: {value!r}")
    return value


def file(files: Mapping[str, bytes], suffix: str) -> bytes:
    """The content of a compressor's file.

    Raises
    ------
    CompressorError
        If it is missing.
    """
    if suffix not in files:
        raise CompressorError(f"the compressor's file {suffix!r} is missing; there are: {', '.join(files) or 'none'}")
    return files[suffix]


def read(path: Path, where: str) -> bytes:
    """The content of a file that the user names.

    Raises
    ------
    CompressorError
        Naming the flag ``where``, if it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise CompressorError(f"{path} cannot be read ({error.strerror})", where=where) from error


@contextmanager
def named(path: str, flag: str) -> Iterator[None]:
    """Errors about a file's content, which know only the content, name the file and the flag that asked for it.

    Raises
    ------
    CompressorError
        Naming both.
    """
    try:
        yield
    except CompressorError as error:
        raise CompressorError(
            error.what, where=" ".join([flag, path, *filter(None, [error.where])]), fix=error.fix
        ) from error


@contextmanager
def panics(library: str) -> Iterator[None]:
    """Turn a panic of a library written in Rust, which is no Exception, into an error for users.

    Raises
    ------
    CompressorError
        Naming ``library`` and what it said.
    """
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise CompressorError(f"{library} breaks down with these settings: {error}") from error
