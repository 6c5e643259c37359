"""The tables of zstd's entropy coder, FSE, as a block or a dictionary describes them (RFC 8878, 3.1.1.3.2 and 4.1)."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...common.jit import jit
from ...errors import CompressorError

# Kinds of codes, in the order of the three tables of a block.
LITERALS_LENGTH: Final = 0
OFFSET: Final = 1
MATCH_LENGTH: Final = 2

MOST_STATES: Final = 1 << 9
_DICTIONARY_MAGIC: Final = b"\x37\xa4\x30\xec"

# Section 3.1.1.3.2.1.1: baseline and number of extra bits of each code.
_LITERALS = [(n, 0) for n in range(16)]
_LITERALS += [(16, 1), (18, 1), (20, 1), (22, 1), (24, 2), (28, 2), (32, 3), (40, 3), (48, 4), (64, 6)]
_LITERALS += [(1 << n, n) for n in range(7, 17)]
_MATCHES = [(n + 3, 0) for n in range(32)]
_MATCHES += [(35, 1), (37, 1), (39, 1), (41, 1), (43, 2), (47, 2), (51, 3), (59, 3), (67, 4), (83, 4), (99, 5)]
_MATCHES += [((1 << n) + 3, n) for n in range(7, 17)]
# An offset's code is its number of extra bits; its baseline is a power of two. None here is longer than 30 bits.
_OFFSETS = [(1 << n, n) for n in range(31)]

# Section 3.1.1.3.2.2: default distributions (-1: less than one).
_DEFAULT_LITERALS = [4, 3, *[2] * 11, *[1] * 3, *[2] * 9, 3, 2, *[1] * 5, *[-1] * 4]
_DEFAULT_OFFSETS = [*[1] * 6, 2, 2, 2, *[1] * 15, *[-1] * 5]
_DEFAULT_MATCHES = [1, 4, 3, *[2] * 6, *[1] * 37, *[-1] * 7]


# Whose table it is: the dictionary's, the format's default, or the block's own.
DICTIONARYS: Final = 0
DEFAULT: Final = 1
OWN: Final = 2

# A state's entry is one word, so that a sequence takes three lookups. From its lowest bit on: the number of bits to
# read for the next state (8 bits), the number of bits to add to the code's baseline (8), the place of the first of the
# next states among all tables (16), and the baseline (32).
_BASELINES: Final = np.array(
    [
        [baseline << 32 | bits << 8 for baseline, bits in codes] + [0] * (64 - len(codes))
        for codes in (_LITERALS, _OFFSETS, _MATCHES)
    ],
    dtype=np.int64,
)
_NUM_CODES: Final = np.array([len(_LITERALS), len(_OFFSETS), len(_MATCHES)], dtype=np.int64)


class BlockReader(NamedTuple):
    """What reading blocks takes, and what one block hands to the next.

    Parameters
    ----------
    tables
        int64, shape (9 * MOST_STATES,): entries by owner (the dictionary, the format, the block), kind, and state.
    logs
        int64, shape (9,): log2 of the number of states, by owner and kind.
    first
        int64, shape (3,): the three offsets that a frame begins with.
    offsets
        int64, shape (3,): the last three offsets.
    rows
        int64, shape (3,): where the table in force begins, by kind.
    shares
        int64, shape (64,): room for a table's description.
    """

    tables: NDArray[np.int64]
    logs: NDArray[np.int64]
    first: NDArray[np.int64]
    offsets: NDArray[np.int64]
    rows: NDArray[np.int64]
    shares: NDArray[np.int64]

    def copy(self) -> BlockReader:
        """One of its own for each thread, as it is written to."""
        return BlockReader(*map(np.copy, self))


def reader_for(dictionary: bytes) -> tuple[BlockReader, int]:
    """What the frames of a dictionary are read with, and where its content begins.

    Only trained dictionaries have tables; anything else is all content.

    Raises
    ------
    CompressorError
        If a trained dictionary is damaged.
    """
    reader = BlockReader(
        np.zeros(9 * MOST_STATES, dtype=np.int64),
        np.zeros(9, dtype=np.int64),
        np.array([1, 4, 8], dtype=np.int64),
        np.zeros(3, dtype=np.int64),
        np.zeros(3, dtype=np.int64),
        np.zeros(64, dtype=np.int64),
    )
    for kind, (shares, log) in enumerate(((_DEFAULT_LITERALS, 6), (_DEFAULT_OFFSETS, 5), (_DEFAULT_MATCHES, 6))):
        _build_table(np.array(shares, dtype=np.int64), len(shares), log, DEFAULT, kind, reader)
    if not dictionary.startswith(_DICTIONARY_MAGIC):
        return reader, 0
    return reader, _read_dictionary(np.frombuffer(dictionary, dtype=np.uint8), reader)


def _read_dictionary(data: NDArray[np.uint8], reader: BlockReader) -> int:
    """Section 5: magic, id, Huffman table, tables of offsets, match lengths and literals lengths, three offsets."""
    size = len(data)
    # Reading stays inside this copy even where a damaged table has no end.
    data = np.concatenate([data, np.zeros(1_024, dtype=np.uint8)])
    at = 9 + int(data[8]) if data[8] < 128 else 9 + (int(data[8]) - 126) // 2
    for kind in (OFFSET, MATCH_LENGTH, LITERALS_LENGTH):
        at = read_table(data, at, DICTIONARYS, kind, reader) if at < size else -1
        if at < 0:
            raise CompressorError("the zstd dictionary's tables are damaged")
    if at + 12 > size:
        raise CompressorError("the zstd dictionary is truncated")
    reader.first[:] = data[at : at + 12].view("<u4")
    return int(at) + 12


@jit
def _build_table(shares: NDArray[np.int64], codes: Any, log: Any, owner: Any, kind: Any, reader: Any) -> None:
    """Section 4.1.1: spread the symbols over the states, then number each symbol's states.

    The first ``codes`` of ``shares`` count; they are overwritten.
    """
    row = (3 * owner + kind) * MOST_STATES
    reader.logs[3 * owner + kind] = log
    table = reader.tables[row : row + (1 << log)]
    size = 1 << log
    high = size - 1
    for symbol in range(codes):
        if shares[symbol] == -1:
            table[high] = symbol
            high -= 1
    place = 0
    for symbol in range(codes):
        for _ in range(shares[symbol]):
            table[place] = symbol
            place = (place + (size >> 1) + (size >> 3) + 3) & (size - 1)
            while place > high:
                place = (place + (size >> 1) + (size >> 3) + 3) & (size - 1)
    for state in range(size):
        symbol = table[state]
        number = abs(shares[symbol])
        shares[symbol] = number + 1
        bits = log
        while number >> (log - bits + 1):
            bits -= 1
        table[state] = _BASELINES[kind, symbol] | (row + (number << bits) - size) << 16 | bits


@jit
def build_constant(symbol: Any, owner: Any, kind: Any, reader: Any) -> None:
    """A table of one state, which is left to itself without reading a bit (3.1.1.3.2.1, RLE)."""
    row = (3 * owner + kind) * MOST_STATES
    reader.logs[3 * owner + kind] = 0
    reader.tables[row] = _BASELINES[kind, symbol & 63] | row << 16


@jit
def _forward(data: NDArray[np.uint8], bit: Any, count: Any) -> Any:
    """``count`` bits (24 at most) from bit ``bit`` on, least significant first."""
    at = bit >> 3
    word = (
        np.int64(data[at]) | np.int64(data[at + 1]) << 8 | np.int64(data[at + 2]) << 16 | np.int64(data[at + 3]) << 24
    )
    return (word >> (bit & 7)) & ((1 << count) - 1)


@jit
def read_table(data: NDArray[np.uint8], at: Any, owner: Any, kind: Any, reader: Any) -> Any:
    """Read a table's description into the reader's tables; where it ends, or -1 if it is damaged."""
    shares = reader.shares
    limit = _NUM_CODES[kind]
    bit = np.int64(at) * 8
    log = _forward(data, bit, 4) + 5
    bit += 4
    if log > 9:
        return np.int64(-1)
    remaining = np.int64(1) << log
    symbol = np.int64(0)
    while remaining > 0 and symbol < limit:
        bits = 0
        while (remaining + 1) >> bits:
            bits += 1
        value = _forward(data, bit, bits)
        low = value & ((1 << (bits - 1)) - 1)
        threshold = (1 << bits) - 1 - (remaining + 1)
        if low < threshold:
            value = low
            bit += bits - 1
        else:
            value = value - threshold if value >= 1 << (bits - 1) else value
            bit += bits
        shares[symbol] = value - 1
        symbol += 1
        remaining -= abs(value - 1)
        repeats = np.int64(3 if value == 1 else 0)
        while repeats == 3 and symbol < limit:
            repeats = _forward(data, bit, 2)
            bit += 2
            shares[symbol : symbol + repeats] = 0
            symbol += repeats
    if remaining != 0 or symbol > limit:
        return np.int64(-1)
    _build_table(shares, symbol, log, owner, kind, reader)
    return (bit + 7) >> 3
