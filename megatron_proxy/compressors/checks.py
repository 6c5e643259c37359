"""Checks of codes, files and libraries that come from outside: each raises a CompressorError."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CompressorError


def file(files: Mapping[str, bytes], suffix: str) -> bytes:
    """The content of a compressor's file, which may be missing."""
    if suffix not in files:
        raise CompressorError(f"the compressor's file {suffix!r} is missing; there are: {', '.join(files) or 'none'}")
    return files[suffix]


def codes_below(codes: NDArray[Any], limit: int) -> NDArray[Any]:
    """``codes`` in a row, if they are integers of ``range(limit)``."""
    codes = np.ascontiguousarray(codes)
    if codes.ndim != 1 or (codes.size and codes.dtype.kind not in "iu"):
        raise CompressorError(f"codes are a 1-D array of integers, not {codes.ndim}-D of {codes.dtype}")
    outside = np.flatnonzero((codes < 0) | (codes >= limit))
    if len(outside):
        first = outside[0]
        raise CompressorError(
            f"codes out of range: code {codes[first]} at place {first} is not one of the {limit:,} codes"
        )
    return codes


def read(path: Path, where: str) -> bytes:
    """The content of a file that the user names with the flag ``where``."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise CompressorError(f"{path} cannot be read ({error.strerror})", where=where) from error


@contextmanager
def panics(library: str) -> Iterator[None]:
    """Turn a panic of a library written in Rust, which is no Exception, into an error for users."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise CompressorError(f"{library} breaks down with these settings: {error}") from error
