"""The paper's oracle translation: one view asked for when the other is given, in both directions.

A document is cut into pieces that fit into a window in both views, ``<compressed> C </compressed> <raw> R </raw>`` or
the other way round, each compressed on its own. Told are

* the nats of the second view's bytes (or symbols) per source byte, in bits, and
* *exact match*: the share of pieces that greedy decoding translates without a fault, closing sentinel included.
  Decoding greedily reproduces a text exactly when, given its true beginning, the next id is the model's first choice at
  every place; so one pass tells, and nothing needs to be written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import batched
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.utils.rnn import pad_sequence

from ..common.characters import border_before
from ..compressors import Compressor
from ..errors import ConfigurationError
from ..model.network import ByteModel
from ..vocab import COMPRESSED_CLOSE, COMPRESSED_OPEN, RAW_CLOSE, RAW_OPEN, bits_per_byte, raw_ids
from .scoring import Shares

_SENTINELS: Final = 4
DIRECTIONS: Final = ("raw_given_compressed", "compressed_given_raw")


class Piece(NamedTuple):
    """A piece of a document: its bytes, and the ids of both views without sentinels."""

    content: bytes
    raw: NDArray[np.int64]
    compressed: NDArray[np.int64]


@dataclass
class Direction:
    """Sums over the pieces in one direction."""

    nats: float = 0.0
    source_bytes: int = 0
    pieces: int = 0
    exact: int = 0

    def figures(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "pieces": self.pieces,
            "bytes": self.source_bytes,
            "bpb": bits_per_byte(self.nats, self.source_bytes),
            "exact_match": self.exact / self.pieces if self.pieces else None,
        }


def encoder(compressor: Compressor) -> Callable[[bytes], NDArray[np.int64]]:
    """From bytes to the ids of the compressed view."""
    offset = compressor.vocabulary.code_offset
    return lambda content: compressor.encode(content).astype(np.int64) + offset


def pieces(content: bytes, encode: Callable[[bytes], NDArray[np.int64]], context: int) -> Iterator[Piece]:
    """The pieces of a document, in order; they add up to it.

    Parameters
    ----------
    content
        The document.
    encode
        From bytes to ids of the compressed view.
    context
        Most ids that a window may read: both views and their sentinels fit into it.

    Raises
    ------
    ConfigurationError
        If even a single byte does not fit.
    """
    room = context + 1 - _SENTINELS
    size = max(1, room // 2)
    begin = 0
    while begin < len(content):
        end = border_before(content, min(begin + size, len(content)), begin)
        piece = Piece(content[begin:end], raw_ids(content[begin:end]), encode(content[begin:end]))
        if len(piece.raw) + len(piece.compressed) > room:
            if size == 1:
                raise ConfigurationError(f"a window of {context} ids does not hold both views", where="--context")
            size //= 2
            continue
        yield piece
        begin = end


def measure(
    documents: Iterable[bytes],
    encode: Callable[[bytes], NDArray[np.int64]],
    model: ByteModel,
    *,
    context: int,
    batch: int = 8,
    progress: Callable[[int], None] = lambda size: None,
) -> dict[str, Direction]:
    """Translate every document's pieces in both directions; results by :data:`DIRECTIONS`.

    ``progress`` is called with the source bytes of each batch once it is done, each direction's by themselves.
    """
    shares = Shares()
    sides = {name: Direction() for name in DIRECTIONS}
    names: list[str] = []
    sums: list[NDArray[np.float64]] = []
    wanted = (
        (name, piece) for content in documents for piece in pieces(content, encode, context) for name in DIRECTIONS
    )
    for number, group in enumerate(batched(wanted, batch)):
        sums.append(_score(model, group) if shares.mine(number) else np.zeros((len(group), 2)))
        for name, piece in group:
            names.append(name)
            sides[name].pieces += 1
            sides[name].source_bytes += len(piece.content)
        progress(sum(len(piece.content) for _, piece in group))
    for name, (nats, exact) in zip(names, shares.add(sums, 2).tolist(), strict=True):
        sides[name].nats += nats
        sides[name].exact += int(exact)
    return sides


def _score(model: ByteModel, wanted: Sequence[tuple[str, Piece]]) -> NDArray[np.float64]:
    """Nats of each piece's second view, and whether all of it and its closing sentinel were first choices."""
    sequences = [_sequence(name, piece) for name, piece in wanted]
    ids = pad_sequence([torch.from_numpy(sequence) for sequence, _ in sequences], batch_first=True)
    scores = model.scores(ids[:, :-1], ids[:, 1:])
    results = []
    for row, (sequence, begin) in enumerate(sequences):
        # Place p of the scores is the prediction of id p + 1; the last id is the closing sentinel.
        nats = scores.nats[row, begin - 1 : len(sequence) - 2].sum().item()
        results.append((nats, scores.correct[row, begin - 1 : len(sequence) - 1].min().item()))
    return np.array(results)


def _sequence(name: str, piece: Piece) -> tuple[NDArray[np.int64], int]:
    """The ids of a piece in one direction, and where the second view's content begins."""
    raw = np.concatenate(([RAW_OPEN], piece.raw, [RAW_CLOSE]))
    compressed = np.concatenate(([COMPRESSED_OPEN], piece.compressed, [COMPRESSED_CLOSE]))
    first, second = (compressed, raw) if name == DIRECTIONS[0] else (raw, compressed)
    return np.concatenate((first, second)), len(first) + 1


def as_table(sides: dict[str, Direction]) -> str:
    """The figures as a table."""
    lines = [f"{'':<22}  {'pieces':>8}  {'bytes':>12}  {'BPB':>7}  {'exact match':>11}"]
    for name, side in sides.items():
        told = side.figures()
        bpb = "-" if told["bpb"] is None else f"{told['bpb']:.4f}"
        exact = told["exact_match"] or 0.0
        title = name.replace("_", " ")
        lines.append(f"{title:<22}  {side.pieces:>8,}  {side.source_bytes:>12,}  {bpb:>7}  {exact:>11.1%}")
    return "\n".join(lines)
