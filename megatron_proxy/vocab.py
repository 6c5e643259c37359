"""The one place where ids are made, and where nats over them become bits per byte: specials | 256 bytes | symbols.

=============  ==================================================================
ids            meaning
=============  ==================================================================
0 … 4          pad, bos, eos, unk, sep (5 to 11 are reserved)
12 … 15        ``<raw>``, ``</raw>``, ``<compressed>``, ``</compressed>``
16 … 63        spare
64 … 319       the bytes 0 … 255
320 …          compressed symbols
=============  ==================================================================

The layout is that of the paper (arXiv 2602.04289), so that ids mean the same in both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

PAD: Final = 0
BOS: Final = 1
EOS: Final = 2
UNK: Final = 3
SEP: Final = 4
RAW_OPEN: Final = 12
RAW_CLOSE: Final = 13
COMPRESSED_OPEN: Final = 14
COMPRESSED_CLOSE: Final = 15
NUM_SPECIALS: Final = 64
BYTE_OFFSET: Final = NUM_SPECIALS
NUM_BYTES: Final = 256
SYMBOL_OFFSET: Final = BYTE_OFFSET + NUM_BYTES

SPECIAL_NAMES: Final[dict[int, str]] = {
    PAD: "<pad>",
    BOS: "<bos>",
    EOS: "<eos>",
    UNK: "<unk>",
    SEP: "<sep>",
    RAW_OPEN: "<raw>",
    RAW_CLOSE: "</raw>",
    COMPRESSED_OPEN: "<compressed>",
    COMPRESSED_CLOSE: "</compressed>",
}


@dataclass(frozen=True)
class Vocabulary:
    """The ids of one training run.

    Parameters
    ----------
    num_symbols
        How many compressed symbols there are (ids ``320 … 319 + num_symbols``).
    literals
        Whether the compressed view may hold literal bytes. Then a stored *code* below 256 is a literal byte, and
        code ``256 + s`` is symbol ``s``; without literals, code ``s`` is symbol ``s``.
    """

    num_symbols: int
    literals: bool = False

    @property
    def size(self) -> int:
        """Number of ids, before any padding by Megatron."""
        return SYMBOL_OFFSET + self.num_symbols

    @property
    def num_codes(self) -> int:
        """Number of different codes in the compressed view on disk."""
        return self.num_symbols + (NUM_BYTES if self.literals else 0)

    @property
    def code_offset(self) -> int:
        """What to add to a stored code to get its id: literals share the ids of the raw bytes."""
        return BYTE_OFFSET if self.literals else SYMBOL_OFFSET

    @property
    def code_dtype(self) -> np.dtype[np.uint8] | np.dtype[np.uint16] | np.dtype[np.int32]:
        """The smallest dtype of Megatron's IndexedDataset that holds every code."""
        if self.num_codes <= 2**8:
            return np.dtype(np.uint8)
        return np.dtype(np.uint16) if self.num_codes <= 2**16 else np.dtype(np.int32)


def raw_ids(document: bytes) -> NDArray[np.int64]:
    """Ids of raw bytes: int64, one per byte, no sentinels."""
    return np.frombuffer(document, dtype=np.uint8).astype(np.int64) + BYTE_OFFSET


def is_byte(ids: ArrayLike) -> NDArray[np.bool_]:
    """Which ids are bytes (in either view)."""
    ids = np.asarray(ids)
    return (ids >= BYTE_OFFSET) & (ids < SYMBOL_OFFSET)


def decode(ids: ArrayLike) -> bytes:
    """The bytes among ``ids``; specials and symbols are left out."""
    ids = np.asarray(ids)
    return (ids[is_byte(ids)] - BYTE_OFFSET).astype(np.uint8).tobytes()


def name(id_: int) -> str:
    """A readable name of one id: ``<raw>``, ``'a'``, ``0x0a``, ``#17`` (symbol 17)."""
    if id_ >= SYMBOL_OFFSET:
        return f"#{id_ - SYMBOL_OFFSET}"
    if id_ >= BYTE_OFFSET:
        character = chr(id_ - BYTE_OFFSET)
        return repr(character) if character.isascii() and character.isprintable() else f"0x{id_ - BYTE_OFFSET:02x}"
    return SPECIAL_NAMES.get(id_, f"<special-{id_}>")


def bits_per_byte(nats: float, source_bytes: float) -> float | None:
    """``nats / ln 2 / source_bytes``; None where there are no bytes, so that no figure is made of nothing.

    The accounting, everywhere in this package:

    * Counted are the *labels* that are bytes or symbols. Specials (sentinels, eos, pads) are predicted and learned, but
      neither their nats nor any bytes are counted for them.
    * ``raw bpb`` = nats of the labels inside raw views / ln 2 / their number, since each is one byte.
    * ``compressed bpb`` = nats of the labels inside compressed views / ln 2 / the *source bytes* that they stand for:
      a literal is one byte, a symbol what :meth:`~megatron_proxy.compressors.base.Compressor.symbol_bytes` says, or,
      where that depends on context, the corpus's mean of source bytes per symbol (bytes that stand as literals left
      out).

    So both are bits per byte of the same text, and can be compared. Sums are taken over ranks and micro-batches before
    the division: a mean of ratios would weigh batches, not bytes.

    Parameters
    ----------
    nats
        Sum of the negative natural log-likelihoods of the labels counted.
    source_bytes
        The bytes that those labels stand for.
    """
    return nats / math.log(2.0) / source_bytes if source_bytes > 0 else None


def bytes_per_id(
    vocabulary: Vocabulary, symbol_bytes: NDArray[np.int32] | None, mean: float = 0.0
) -> NDArray[np.float32]:
    """The source bytes that each id stands for.

    Parameters
    ----------
    vocabulary
        The ids of the run.
    symbol_bytes
        int32, shape (num_symbols,): bytes of each symbol; None where that depends on context.
    mean
        The corpus's mean of source bytes per symbol, used where ``symbol_bytes`` is None.

    Returns
    -------
    float32, shape (vocabulary.size,): 0 for specials, 1 for bytes.
    """
    table = np.zeros(vocabulary.size, dtype=np.float32)
    table[BYTE_OFFSET:SYMBOL_OFFSET] = 1.0
    table[SYMBOL_OFFSET:] = mean if symbol_bytes is None else symbol_bytes
    return table
