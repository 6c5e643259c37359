"""Bytes and text to ids of the raw view, and back. Compressed symbols are never made or read here."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .vocab import RAW_CLOSE, RAW_OPEN, bytes_of, raw_ids


def encode(document: bytes | str) -> NDArray[np.int64]:
    """Ids of a document's bytes (text as UTF-8, lone surrogates as the bytes they stand for), without sentinels.

    Returns
    -------
    int64, shape (bytes,).
    """
    if isinstance(document, str):
        document = document.encode("utf-8", errors="surrogateescape")
    return raw_ids(document)


def encode_view(document: bytes | str) -> NDArray[np.int64]:
    """Ids of a whole raw view, ``<raw> document </raw>``: int64, shape (bytes + 2,)."""
    return np.concatenate(([RAW_OPEN], encode(document), [RAW_CLOSE]))


def decode(ids: ArrayLike) -> bytes:
    """The bytes among ``ids``; specials and symbols are left out."""
    return bytes_of(ids)


def decode_text(ids: ArrayLike) -> str:
    """The bytes among ``ids`` as text; what is no UTF-8 becomes U+FFFD."""
    return decode(ids).decode("utf-8", errors="replace")
