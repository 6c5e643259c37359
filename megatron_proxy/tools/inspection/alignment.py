"""Which bytes each code stands for, in one document."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...common.characters import border_before
from ...compressors import Compressor
from ...vocab import NUM_BYTES

SHOWN_BYTES: Final = 1_200


@dataclass(frozen=True)
class Pair:
    """A stretch of the raw view and its codes in the compressed view.

    One code where every code stands for bytes of its own, otherwise all codes of a span.
    """

    bytes: bytes
    codes: list[int]


def align(compressor: Compressor, document: bytes, *, limit: int = SHOWN_BYTES) -> list[Pair]:
    """The first ``limit`` bytes of a document, encoded on their own, stretch by stretch."""
    document = document[: border_before(document, limit)]
    encoded = compressor.encode_spans(document)
    by_code = _code_ends(compressor, encoded.codes)
    if by_code is not None and len(by_code) and by_code[-1] == len(document):
        return _pairs(document, encoded.codes, by_code, np.arange(1, len(by_code) + 1))
    return _pairs(document, encoded.codes, encoded.byte_ends, encoded.code_ends)


def _code_ends(compressor: Compressor, codes: NDArray[Any]) -> NDArray[np.int64] | None:
    """Where the bytes of each code end (int64, shape (codes,)), if codes have bytes of their own."""
    table = compressor.symbol_bytes()
    if table is None:
        return None
    if compressor.literals:
        table = np.concatenate([np.ones(NUM_BYTES, dtype=np.int32), table])
    return np.cumsum(table[codes], dtype=np.int64)


def _pairs(
    document: bytes, codes: NDArray[Any], byte_ends: NDArray[np.int64], code_ends: NDArray[np.int64]
) -> list[Pair]:
    found = []
    begin = code_begin = 0
    for end, code_end in zip(byte_ends.tolist(), code_ends.tolist(), strict=True):
        found.append(Pair(document[begin:end], codes[code_begin:code_end].tolist()))
        begin, code_begin = end, code_end
    return found
