"""How stable a compressor's mapping is: what an edit, or another context, does to the codes.

The paper (arXiv 2602.04289) finds that the stability of the mapping decides whether training on the compressed view
transfers to raw bytes. Its measure: delete 10 % of a text's characters, compress both texts, and take the edit distance
of the two code streams ÷ their length. 0.10 is the least there is (one code per byte: just the deleted ones); about
0.95 means that nothing is left in place. Here it is taken twice, with the deleted characters spread at random and with
one span of them, and beside it the share of repeated substrings that keep their codes where they are repeated.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...common import rng
from ...common.characters import cuts
from ...common.rng import Purpose
from ...compressors import Compressor
from .distances import edit_distance, longest_common_run

DELETED_SHARE: Final = 0.1
PIECE_BYTES: Final = 4_000
PIECES: Final = 64

# Repeats are at least this long, and are set in this much of the text around them.
REPEAT_BYTES: Final = 48
LONGEST_REPEAT: Final = 512
CONTEXT_BYTES: Final = 256
REPEATS: Final = 128
# Bytes of one document in which repeats are sought: bounds time and memory.
SEARCHED_BYTES: Final = 1 << 18


@dataclass(frozen=True)
class Stability:
    """Figures of one compressor on one sample.

    Parameters
    ----------
    pieces
        Number of texts that were edited, each of at most :data:`PIECE_BYTES` bytes.
    bytes, codes
        Bytes of those texts and codes of their compressed views, in all.
    random, span
        Edit distance ÷ codes, summed over the pieces, after deleting 10 % of the characters at random places and as
        one span. Lower is more stable.
    repeats
        Number of repeated substrings that were compared.
    repeats_kept
        Share of them at least half of whose codes stand in one unbroken run in both places.
    repeat_codes_kept
        Mean share of a repeated substring's codes in the longest run that both places have in common.
    """

    pieces: int
    bytes: int
    codes: int
    random: float
    span: float
    repeats: int
    repeats_kept: float
    repeat_codes_kept: float

    @property
    def bytes_per_code(self) -> float:
        """Source bytes per code on these pieces."""
        return self.bytes / self.codes if self.codes else 0.0

    def to_json(self) -> dict[str, Any]:
        """The figures as a JSON-able dictionary."""
        return asdict(self) | {"bytes_per_code": self.bytes_per_code}


def stability(
    compressor: Compressor,
    documents: Iterable[bytes],
    *,
    seed: int = 0,
    piece_bytes: int = PIECE_BYTES,
    pieces: int = PIECES,
    repeats: int = REPEATS,
) -> Stability:
    """Measure ``compressor`` on the first ``pieces`` documents, one piece of each.

    Empty documents are skipped. A piece has at most ``piece_bytes`` bytes, is cut between characters and at a place
    drawn from ``seed``. At most ``repeats`` repeated substrings of the same documents are compared.
    """
    chosen = list(islice((document for document in documents if document), pieces))
    texts = [_piece(document, piece_bytes, seed, number) for number, document in enumerate(chosen)]
    total = sum(len(text.encode("utf-8", "surrogateescape")) for text in texts)
    codes = [_codes(compressor, text) for text in texts]
    length = sum(map(len, codes))
    kept = [_kept(compressor, pair) for pair in repeated_substrings(chosen, seed=seed, limit=repeats)]
    return Stability(
        pieces=len(texts),
        bytes=total,
        codes=length,
        random=_ratio(sum(_moved(compressor, texts, codes, seed, delete_random)), length),
        span=_ratio(sum(_moved(compressor, texts, codes, seed, delete_span)), length),
        repeats=len(kept),
        repeats_kept=_ratio(sum(share >= 0.5 for share in kept), len(kept)),
        repeat_codes_kept=_ratio(sum(kept), len(kept)),
    )


def delete_random(text: str, *, seed: int = 0, number: int = 0) -> str:
    """``text`` without exactly ``round(DELETED_SHARE * len(text))`` characters, at places drawn from (seed, number)."""
    count = round(DELETED_SHARE * len(text))
    gone = rng.permutation(rng.key(seed, Purpose.STABILITY, 0, number), len(text))[:count]
    keep = np.ones(len(text), dtype=bool)
    keep[gone] = False
    return "".join(text[i] for i in np.flatnonzero(keep))


def delete_span(text: str, *, seed: int = 0, number: int = 0) -> str:
    """``text`` without as many characters in one stretch, at a place drawn from (seed, number)."""
    count = round(DELETED_SHARE * len(text))
    start = _below(len(text) - count + 1, seed, 1, number)
    return text[:start] + text[start + count :]


@dataclass(frozen=True)
class Repeat:
    """One substring at two places: the substring, and both places with the bytes around them."""

    substring: bytes
    first: bytes
    second: bytes


def repeated_substrings(documents: Sequence[bytes], *, seed: int = 0, limit: int = REPEATS) -> list[Repeat]:
    """Substrings of 48 to 512 bytes that occur at two places, as long as they go, in a drawn order.

    At both places the bytes before and after the substring differ, or the document ends there: it is the same string in
    another context. The first :data:`SEARCHED_BYTES` bytes of each document are searched.
    """
    parts = [document[:SEARCHED_BYTES] for document in documents]
    owner = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    data = np.frombuffer(b"".join(parts), dtype=np.uint8)
    begins = np.searchsorted(owner, np.arange(len(parts)), side="left")
    ends = np.searchsorted(owner, np.arange(len(parts)), side="right")
    found: list[Repeat] = []
    seen: set[bytes] = set()
    for one, other in _equal_windows(data, ends - begins, seed):
        first, second = (begins[owner[one]], ends[owner[one]]), (begins[owner[other]], ends[owner[other]])
        start, length = _extend(data, one, other, first, second)
        substring = data[start : start + length].tobytes()
        shifted = other - one + start
        if length > LONGEST_REPEAT or substring in seen or abs(shifted - start) < length:
            continue
        seen.add(substring)
        found.append(Repeat(substring, _around(data, start, length, first), _around(data, shifted, length, second)))
        if len(found) == limit:
            break
    return found


def _codes(compressor: Compressor, text: str) -> NDArray[Any]:
    return compressor.encode(text.encode("utf-8", "surrogateescape"))


def _moved(
    compressor: Compressor, texts: list[str], codes: list[NDArray[Any]], seed: int, delete: Any
) -> Iterable[int]:
    """The edit distance that ``delete`` makes, for each text."""
    for number, (text, before) in enumerate(zip(texts, codes, strict=True)):
        yield edit_distance(before, _codes(compressor, delete(text, seed=seed, number=number)))


def _kept(compressor: Compressor, repeat: Repeat) -> float:
    """The share of the substring's codes that both places have in one run."""
    run = longest_common_run(compressor.encode(repeat.first), compressor.encode(repeat.second))
    return min(1.0, _ratio(run, len(compressor.encode(repeat.substring))))


def _piece(document: bytes, size: int, seed: int, number: int) -> str:
    """At most ``size`` bytes of a document as text; bytes that are not UTF-8 become one character each."""
    start = _below(max(0, len(document) - size) + 1, seed, 2, number)
    end = start + size
    # Step over the rest of a character whose first bytes lie before the border.
    while start and cuts(document, start):
        start += 1
    while end > start and cuts(document, end):
        end -= 1
    return document[start:end].decode("utf-8", "surrogateescape")


def _below(bound: int, seed: int, *parts: int) -> int:
    """A random integer in [0, bound)."""
    return int(rng.uniform(rng.key(seed, Purpose.STABILITY, *parts), [0])[0] * bound)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _equal_windows(data: NDArray[np.uint8], lengths: NDArray[np.int64], seed: int) -> Iterable[tuple[int, int]]:
    """Pairs of places whose next :data:`REPEAT_BYTES` bytes are the same and lie in one document, in a drawn order."""
    if len(data) < REPEAT_BYTES:
        return
    room = np.concatenate([np.arange(length, 0, -1) for length in lengths])
    places = np.flatnonzero(room >= REPEAT_BYTES)
    hashes = _window_hashes(data, REPEAT_BYTES)[places]
    order = np.argsort(hashes, kind="stable")
    equal = np.flatnonzero(hashes[order[1:]] == hashes[order[:-1]])
    for k in rng.permutation(rng.key(seed, Purpose.STABILITY, 3), len(equal)).tolist():
        one, other = int(places[order[equal[k]]]), int(places[order[equal[k] + 1]])
        if np.array_equal(data[one : one + REPEAT_BYTES], data[other : other + REPEAT_BYTES]):
            yield one, other


def _extend(
    data: NDArray[np.uint8], one: int, other: int, first: tuple[int, int], second: tuple[int, int]
) -> tuple[int, int]:
    """Start (at the first place) and length of the equal stretch around ``one`` and ``other``."""
    before = min(one - first[0], other - second[0], LONGEST_REPEAT)
    after = min(first[1] - one, second[1] - other, LONGEST_REPEAT + 1)
    left = _agreeing(data[one - before : one][::-1], data[other - before : other][::-1])
    right = _agreeing(data[one : one + after], data[other : other + after])
    return one - left, left + right


def _agreeing(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> int:
    """How many leading elements are the same."""
    differs = left != right
    return int(np.argmax(differs)) if differs.any() else len(left)


def _around(data: NDArray[np.uint8], start: int, length: int, document: tuple[int, int]) -> bytes:
    """A substring with the bytes of its document around it."""
    begin = max(document[0], start - CONTEXT_BYTES)
    return data[begin : min(document[1], start + length + CONTEXT_BYTES)].tobytes()


def _window_hashes(data: NDArray[np.uint8], size: int) -> NDArray[np.uint64]:
    """A polynomial hash, modulo 2^64, of the ``size`` bytes from each place on that has as many behind it."""
    values = data.astype(np.uint64) + np.uint64(1)
    hashes = np.zeros(len(data) - size + 1, dtype=np.uint64)
    for offset in range(size):
        hashes *= np.uint64(0x100000001B3)
        hashes += values[offset : offset + len(hashes)]
    return hashes
