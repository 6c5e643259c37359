"""Whether this machine's library makes the same bytes as the one that a compressor was made with.

Decoding zstd and zlib is defined by their formats, encoding is not: another version, or zlib-ng in zlib's place, may
choose other matches. Versions say too little (the same version may be another build) and too much (most versions
agree), so a compressor remembers the digest of what its library made of a fixed text, and refuses to encode where the
digest differs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache

import numpy as np

from ..errors import CompressorError

_WORDS = 512
_BYTES = 1 << 15


@cache
def text() -> bytes:
    """32 KiB that look a little like text: words with skewed frequencies, lines, indents, repeats, rare odd bytes."""
    # A small generator of its own: this text may never change.
    state = np.uint64(88172645463325252)
    words: list[bytes] = []
    pieces: list[bytes] = []
    size = 0
    with np.errstate(over="ignore"):
        while size < _BYTES:
            state ^= state << np.uint64(13)
            state ^= state >> np.uint64(7)
            state ^= state << np.uint64(17)
            number = int(state)
            if len(words) < _WORDS:
                words.append(bytes(97 + (number >> 5 * i) % 26 for i in range(2 + number % 9)))
                continue
            rank = min(number % _WORDS, (number >> 16) % _WORDS, (number >> 32) % _WORDS)
            piece = words[rank] + (b"\n" + b"    " * (number % 4) if number % 7 == 0 else b" ")
            piece += bytes([number >> 40 & 255]) * (number >> 52 & 31) if number % 97 == 0 else b""
            pieces.append(piece)
            size += len(piece)
    return b"".join(pieces)[:_BYTES]


def digest(encode: Callable[[bytes], bytes]) -> str:
    """Digest of what ``encode`` makes of :func:`text`: 16 hexadecimal digits."""
    return hashlib.sha256(encode(text())).hexdigest()[:16]


def check(expected: str, encode: Callable[[bytes], bytes], library: str) -> None:
    """Refuse, with a CompressorError that names ``library``, if ``encode`` does not give the digest ``expected``."""
    if digest(encode) != expected:
        raise CompressorError(
            f"{library} on this machine compresses to other bytes than the one this compressor was made with",
            fix="install the version named in the manifest, or prepare the view again; decoding works with any version",
        )
