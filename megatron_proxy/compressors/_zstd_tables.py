"""The tables of zstd's entropy coder, FSE, as a block or a dictionary describes them (RFC 8878, 3.1.1.3.2 and 4.1)."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import CompressorError
from ..jit import jit

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
_LITERALS_LENGTHS: Final = np.array(_LITERALS, dtype=np.int64)
_MATCH_LENGTHS: Final = np.array(_MATCHES, dtype=np.int64)

# Section 3.1.1.3.2.2: default distributions (-1: less than one).
_DEFAULT_LITERALS = [4, 3, *[2] * 11, *[1] * 3, *[2] * 9, 3, 2, *[1] * 5, *[-1] * 4]
_DEFAULT_OFFSETS = [*[1] * 6, 2, 2, 2, *[1] * 15, *[-1] * 5]
_DEFAULT_MATCHES = [1, 4, 3, *[2] * 6, *[1] * 37, *[-1] * 7]


# Whose table it is: the dictionary's, the format's default, or the block's own.
DICTIONARYS: Final = 0
DEFAULT: Final = 1
OWN: Final = 2

# A state's entry is one word, so that the tables in use stay in a core's nearest cache: symbol in the lower eight bits,
# above them the number of bits to read (eight bits), above them the base of the next state.


class Reader(NamedTuple):
    """What reading blocks takes; nothing in it is written to.

    Parameters
    ----------
    tables
        int32, shape (2, 3, states): entries by owner (the dictionary, the format), kind, and state.
    logs
        log2 of the number of states, by owner and kind.
    offsets
        The three offsets that a frame begins with.
    literals_lengths, match_lengths
        Baseline and number of extra bits, by code.
    """

    tables: NDArray[np.int32]
    logs: NDArray[np.int64]
    offsets: NDArray[np.int64]
    literals_lengths: NDArray[np.int64]
    match_lengths: NDArray[np.int64]


def reader_for(dictionary: bytes) -> tuple[Reader, int]:
    """What the frames of a dictionary are read with, and where its content begins.

    Only trained dictionaries have tables; anything else is all content.

    Raises
    ------
    CompressorError
        If a trained dictionary is damaged.
    """
    reader = Reader(
        np.zeros((2, 3, MOST_STATES), dtype=np.int32),
        np.zeros((2, 3), dtype=np.int64),
        np.array([1, 4, 8], dtype=np.int64),
        _LITERALS_LENGTHS,
        _MATCH_LENGTHS,
    )
    for kind, (shares, log) in enumerate(((_DEFAULT_LITERALS, 6), (_DEFAULT_OFFSETS, 5), (_DEFAULT_MATCHES, 6))):
        _build_table(np.array(shares, dtype=np.int64), log, reader.tables[DEFAULT, kind])
        reader.logs[DEFAULT, kind] = log
    if not dictionary.startswith(_DICTIONARY_MAGIC):
        return reader, 0
    return reader, _read_dictionary(np.frombuffer(dictionary, dtype=np.uint8), reader)


def _read_dictionary(data: NDArray[np.uint8], reader: Reader) -> int:
    """Section 5: magic, id, Huffman table, tables of offsets, match lengths and literals lengths, three offsets."""
    size = len(data)
    # Reading stays inside this copy even where a damaged table has no end.
    data = np.concatenate([data, np.zeros(1_024, dtype=np.uint8)])
    at = 9 + int(data[8]) if data[8] < 128 else 9 + (int(data[8]) - 126) // 2
    for kind in (OFFSET, MATCH_LENGTH, LITERALS_LENGTH):
        at, log = read_table(data, at, reader.tables[DICTIONARYS, kind]) if at < size else (-1, 0)
        if at < 0:
            raise CompressorError("the zstd dictionary's tables are damaged")
        reader.logs[DICTIONARYS, kind] = log
    if at + 12 > size:
        raise CompressorError("the zstd dictionary is truncated")
    reader.offsets[:] = data[at : at + 12].view("<u4")
    return int(at) + 12


@jit
def _build_table(shares: NDArray[np.int64], log: Any, table: NDArray[np.int32]) -> None:
    """Section 4.1.1: spread the symbols over the states, then number each symbol's states."""
    size = 1 << log
    high = size - 1
    for symbol in range(len(shares)):
        if shares[symbol] == -1:
            table[high] = symbol
            high -= 1
    place = 0
    for symbol in range(len(shares)):
        for _ in range(shares[symbol]):
            table[place] = symbol
            place = (place + (size >> 1) + (size >> 3) + 3) & (size - 1)
            while place > high:
                place = (place + (size >> 1) + (size >> 3) + 3) & (size - 1)
    following = np.abs(shares)
    for state in range(size):
        symbol = table[state]
        number = following[symbol]
        following[symbol] += 1
        bits = log
        while number >> (log - bits + 1):
            bits -= 1
        table[state] = symbol | bits << 8 | ((number << bits) - size) << 16


@jit
def _forward(data: NDArray[np.uint8], bit: Any, count: Any) -> Any:
    """``count`` bits (24 at most) from bit ``bit`` on, least significant first."""
    at = bit >> 3
    word = (
        np.int64(data[at]) | np.int64(data[at + 1]) << 8 | np.int64(data[at + 2]) << 16 | np.int64(data[at + 3]) << 24
    )
    return (word >> (bit & 7)) & ((1 << count) - 1)


@jit
def read_table(data: NDArray[np.uint8], at: Any, table: NDArray[np.int32]) -> tuple[Any, Any]:
    """Read a table's description; (where it ends, log2 of its states), or (-1, 0) if it is damaged."""
    shares = np.zeros(64, dtype=np.int64)
    bit = np.int64(at) * 8
    log = _forward(data, bit, 4) + 5
    bit += 4
    if log > 9:
        return -1, 0
    remaining = np.int64(1) << log
    symbol = 0
    while remaining > 0 and symbol < 64:
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
        if value == 1:
            repeats = np.int64(3)
            while repeats == 3 and symbol < 64:
                repeats = _forward(data, bit, 2)
                bit += 2
                symbol += repeats
    if remaining != 0 or symbol > 64:
        return -1, 0
    _build_table(shares, log, table)
    return (bit + 7) >> 3, log
