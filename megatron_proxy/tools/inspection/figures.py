"""The figures of one compressed view, measured on its files.

Accounting: a *code* is one unit of the compressed view as stored, a literal byte or a symbol; sentinels are not stored
and not counted. Bytes per code is source bytes ÷ codes over the whole view. Frequencies, entropy and the share of
literals are taken over evenly spaced documents with at most :data:`COUNTED_CODES` codes in all; the entropy is that of
single codes, so entropy ÷ bytes per code is what an ideal coder without memory would spend on a byte.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...compressors import Compressor
from ...data.dataset.opened import PreparedDataset
from ...data.dataset.reader import ViewReader
from ...errors import CompressorError, ConfigurationError
from ...vocab import NUM_BYTES, Vocabulary
from .alignment import Pair, align
from .stability import PIECES, Stability, stability

COUNTED_CODES: Final = 1 << 26
FREQUENT: Final = 20
# Texts that say little about stability or the way back: left out if there are longer ones.
_SHORT_BYTES: Final = 1_000
_RANKS: Final = 96


@dataclass(frozen=True)
class LengthClass:
    """The documents of ``at_least`` to twice as many bytes, with their bytes and codes in all."""

    at_least: int
    documents: int
    bytes: int
    codes: int


@dataclass(frozen=True)
class Frequent:
    """One code, how often it was counted, and the bytes it stands for (None where that depends on the context)."""

    code: int
    count: int
    bytes: bytes | None


@dataclass(frozen=True)
class Frequencies:
    """How often codes occur.

    Parameters
    ----------
    codes
        Codes counted.
    used, possible
        Different codes among them, and codes that there are.
    entropy
        Bits per code.
    literal_codes, literal_bytes
        Literal bytes ÷ codes, and ÷ source bytes, in what was counted.
    most
        The most frequent codes.
    ranks
        (rank, count) at logarithmically spaced ranks, rank 1 the most frequent.
    """

    codes: int
    used: int
    possible: int
    entropy: float
    literal_codes: float
    literal_bytes: float
    most: list[Frequent]
    ranks: list[tuple[int, int]]


@dataclass(frozen=True)
class WayBack:
    """Decoding some documents: how many, how many came back exactly, and the share of their bytes that did."""

    documents: int
    exact: int
    bytes_kept: float


@dataclass(frozen=True)
class Figures:
    """Everything that is shown about one compressed view."""

    compressor: str
    symbols: int
    literals: bool
    lossless: bool
    spans: bool
    documents: int
    bytes: int
    codes: int
    by_length: list[LengthClass]
    frequencies: Frequencies
    way_back: WayBack
    stability: Stability
    document: int
    pairs: list[Pair]

    @property
    def bytes_per_code(self) -> float:
        """Source bytes per code of the whole view."""
        return self.bytes / self.codes if self.codes else 0.0

    @property
    def entropy_per_byte(self) -> float:
        """Bits that an ideal memoryless coder of the codes would spend on a source byte."""
        return self.frequencies.entropy / self.bytes_per_code if self.codes else 0.0

    def to_json(self) -> dict[str, Any]:
        """The figures as a JSON-able dictionary; bytes as text, where they are UTF-8, else escaped."""
        found = asdict(self) | {"bytes_per_code": self.bytes_per_code, "entropy_per_byte": self.entropy_per_byte}
        found["stability"] = self.stability.to_json()
        for entry in [*found["frequencies"]["most"], *found["pairs"]]:
            entry["bytes"] = None if entry["bytes"] is None else entry["bytes"].decode("utf-8", "backslashreplace")
        return found


def inspect(
    prefix: str | os.PathLike[str], name: str, *, document: int | None = None, pieces: int = PIECES, seed: int = 0
) -> Figures:
    """Measure the compressed view ``name`` of ``prefix``.

    ``document`` is the number of the one to show side by side (default: the first of some length); stability is
    measured on ``pieces`` evenly spaced documents.

    Raises
    ------
    DatasetError
        If the prefix or the view is not there, or damaged.
    """
    dataset = PreparedDataset.open(prefix)
    entry = dataset.compressed(name)
    raw, coded, compressor = dataset.raw(), dataset.codes(name), dataset.compressor(name)
    chosen = evenly_spaced(_telling(raw), pieces)
    shown = _shown(raw, document)
    return Figures(
        compressor=name,
        symbols=entry.num_symbols,
        literals=entry.literals,
        lossless=entry.lossless,
        spans=entry.spans is not None,
        documents=len(raw),
        bytes=raw.units,
        codes=coded.units,
        by_length=by_length(raw.sequence_lengths, coded.sequence_lengths),
        frequencies=_frequencies(raw, coded, entry.vocabulary, compressor),
        way_back=_way_back(raw, coded, compressor, chosen),
        stability=stability(compressor, (raw.get(int(i)).tobytes() for i in chosen), pieces=pieces, seed=seed),
        document=shown,
        pairs=align(compressor, raw.get(shown).tobytes()) if len(raw) else [],
    )


def by_length(raw_lengths: NDArray[np.int32], code_lengths: NDArray[np.int32]) -> list[LengthClass]:
    """Documents by length, in classes [2^k, 2^(k+1)) of bytes; empty documents and empty classes are left out."""
    filled = raw_lengths > 0
    lengths, codes = raw_lengths[filled].astype(np.int64), code_lengths[filled].astype(np.int64)
    # frexp is exact where a logarithm may round: length = m * 2^e with 0.5 <= m < 1.
    classes = np.frexp(lengths.astype(np.float64))[1] - 1
    return [
        LengthClass(1 << int(k), int(inside.sum()), int(lengths[inside].sum()), int(codes[inside].sum()))
        for k in np.unique(classes)
        for inside in [classes == k]
    ]


def evenly_spaced(candidates: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """At most ``count`` of ``candidates``, evenly spaced."""
    picks = np.linspace(0, len(candidates) - 1, min(count, len(candidates)))
    return candidates[np.unique(picks.round().astype(np.int64))]


def entropy_of(counts: NDArray[np.int64]) -> float:
    """Entropy in bits of the distribution with these counts."""
    share = counts[counts > 0] / max(1, int(counts.sum()))
    return float(-(share * np.log2(share)).sum()) + 0.0


def _telling(raw: ViewReader) -> NDArray[np.int64]:
    """The documents worth measuring: not the short ones, if there are others."""
    lengths = raw.sequence_lengths
    least = _SHORT_BYTES if len(lengths) and int(lengths.max()) >= _SHORT_BYTES else 1
    return np.flatnonzero(lengths >= least)


def _shown(raw: ViewReader, document: int | None) -> int:
    """The number of the document to show."""
    if document is not None:
        if not 0 <= document < len(raw):
            raise ConfigurationError(f"there is no document {document}; there are {len(raw):,}", where="--document")
        return document
    telling = _telling(raw)
    return int(telling[0]) if len(telling) else 0


def _counted(coded: ViewReader) -> Iterator[int]:
    """Evenly spaced documents with at most :data:`COUNTED_CODES` codes in all (one at least)."""
    average = max(1, coded.units // max(1, len(coded)))
    counted = 0
    for index in evenly_spaced(np.arange(len(coded)), max(1, COUNTED_CODES // average)).tolist():
        length = int(coded.sequence_lengths[index])
        if counted and counted + length > COUNTED_CODES:
            return
        counted += length
        yield index


def _frequencies(raw: ViewReader, coded: ViewReader, vocabulary: Vocabulary, compressor: Compressor) -> Frequencies:
    counts = np.zeros(vocabulary.num_codes, dtype=np.int64)
    source_bytes = 0
    for index in _counted(coded):
        counts += np.bincount(coded.get(index), minlength=len(counts))
        source_bytes += int(raw.sequence_lengths[index])
    total = int(counts.sum())
    literal = int(counts[:NUM_BYTES].sum()) if vocabulary.literals else 0
    order = np.argsort(-counts, kind="stable")
    used = int((counts > 0).sum())
    ranks = np.unique(np.geomspace(1, used, _RANKS).round().astype(np.int64)) if used else np.empty(0, np.int64)
    return Frequencies(
        codes=total,
        used=used,
        possible=len(counts),
        entropy=entropy_of(counts),
        literal_codes=literal / total if total else 0.0,
        literal_bytes=literal / source_bytes if source_bytes else 0.0,
        most=[
            Frequent(int(code), int(counts[code]), _stands_for(compressor, int(code)))
            for code in order[: min(FREQUENT, used)]
        ],
        ranks=[(int(rank), int(counts[order[rank - 1]])) for rank in ranks],
    )


def _stands_for(compressor: Compressor, code: int) -> bytes | None:
    """The bytes of one code, where they do not depend on the context."""
    if compressor.literals and code < NUM_BYTES:
        return bytes([code])
    if compressor.symbol_bytes() is None:
        return None
    try:
        return compressor.decode(np.array([code], dtype=compressor.vocabulary.code_dtype))
    except CompressorError:
        return None


def _way_back(raw: ViewReader, coded: ViewReader, compressor: Compressor, chosen: NDArray[np.int64]) -> WayBack:
    exact = total = kept = 0
    for index in chosen.tolist():
        source = raw.get(index)
        back = np.frombuffer(compressor.decode(coded.get(index)), dtype=np.uint8)
        same = min(len(source), len(back))
        matching = int((source[:same] == back[:same]).sum())
        exact += len(source) == len(back) == matching
        total += len(source)
        kept += matching
    return WayBack(len(chosen), exact, kept / total if total else 1.0)
