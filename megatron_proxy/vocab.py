"""The one place where ids are made: specials | 256 bytes | compressed symbols.

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


def is_symbol(ids: ArrayLike) -> NDArray[np.bool_]:
    """Which ids are compressed symbols."""
    return np.asarray(ids) >= SYMBOL_OFFSET


def bytes_of(ids: ArrayLike) -> bytes:
    """The bytes of those ids that are bytes; other ids are left out."""
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
