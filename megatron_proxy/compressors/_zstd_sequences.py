"""The matches that zstd chose, read off its compressed blocks (RFC 8878, section 3.1.1.3).

Only frames that this process has just made are read here, so they are taken to be well formed; what is read is held
against the text all the same. Literals need no decoding: they are the text between the matches.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..jit import jit
from ._zstd_tables import read_table


@jit
def _backward(data: NDArray[np.uint8], begin: Any, bit: Any, count: Any) -> Any:
    """The ``count`` bits before bit ``bit`` of the stream that begins at byte ``begin``."""
    low = bit - count
    word = np.int64(0)
    for i in range((bit - 1) >> 3, (low >> 3) - 1, -1):
        word = (word << 8) | np.int64(data[begin + i])
    return (word >> (low & 7)) & ((np.int64(1) << count) - 1) if count else np.int64(0)


@jit
def _word(data: NDArray[np.uint8], begin: Any, bit: Any) -> tuple[Any, Any]:
    """The bits before bit ``bit`` of the stream that begins at byte ``begin``: a word, and how many it holds.

    They are 49 at least, or all there are, with zeros before them.
    """
    top = begin + ((bit + 7) >> 3)
    word = np.int64(0)
    for i in range(1, 8):
        word = (word << 8) | (np.int64(data[top - i]) if top - i >= begin else np.int64(0))
    return word, np.int64(56) - ((8 - (bit & 7)) & 7)


@jit
def _literals_section(data: NDArray[np.uint8], at: Any) -> tuple[Any, Any]:
    """Size of the literals section at ``at``, header included, and the number of its literals (3.1.1.3.1)."""
    kind, form = data[at] & 3, (data[at] >> 2) & 3
    word = np.int64(0)
    for i in range(4, -1, -1):
        word = (word << 8) | (np.int64(data[at + i]) if at + i < len(data) else np.int64(0))
    if kind < 2:
        header = 2 if form == 1 else 3 if form == 3 else 1
        literals = (word >> 3) & 31 if header == 1 else (word >> 4) & (0xFFF if header == 2 else 0xFFFFF)
        return header + (1 if kind == 1 else literals), literals
    header = 3 if form < 2 else form + 2
    bits = 10 if form < 2 else 14 if form == 2 else 18
    return header + ((word >> (4 + bits)) & ((1 << bits) - 1)), (word >> 4) & ((1 << bits) - 1)


@jit
def _matches_of_block(
    data: NDArray[np.uint8],
    at: Any,
    end: Any,
    place: Any,
    owners: NDArray[np.int64],
    offsets: NDArray[np.int64],
    reader: Any,
    found: NDArray[np.int64],
) -> tuple[Any, Any]:
    """Fill ``found`` from the compressed block in ``data[at:end]``, whose text begins at ``place``.

    ``owners`` (of the tables) and ``offsets`` are those in force before the block, and afterwards those behind it.

    Returns
    -------
    The number of matches, and where the block's text ends.
    """
    size, left = _literals_section(data, at)
    at += size
    count = np.int64(data[at])
    at += 1
    if count >= 255:
        count = np.int64(data[at]) + (np.int64(data[at + 1]) << 8) + 0x7F00
        at += 2
    elif count >= 128:
        count = ((count - 128) << 8) + np.int64(data[at])
        at += 1
    if count == 0:
        return count, place + left
    at = _read_tables(data, at, owners, reader)
    literal, distance, match = reader.tables[owners[0], 0], reader.tables[owners[1], 1], reader.tables[owners[2], 2]
    bit = (end - at) * 8 - 1
    while (data[at + (bit >> 3)] >> (bit & 7)) & 1 == 0:
        bit -= 1
    log = reader.logs[owners[0], 0]
    literal_state = _backward(data, at, bit, log)
    bit -= log
    log = reader.logs[owners[1], 1]
    distance_state = _backward(data, at, bit, log)
    bit -= log
    log = reader.logs[owners[2], 2]
    match_state = _backward(data, at, bit, log)
    bit -= log
    for number in range(count):
        # All that follows is read from one word of 56 bits, as far as that holds it.
        word, under = _word(data, at, bit)
        bits = distance[0, distance_state]
        under -= bits
        value = (np.int64(1) << bits) + ((word >> under) & ((np.int64(1) << bits) - 1))
        bit -= bits
        code = match[0, match_state]
        literal_code = literal[0, literal_state]
        bits = reader.match_lengths[code, 1] + reader.literals_lengths[literal_code, 1]
        if bits > under:
            word, under = _word(data, at, bit)
        bit -= bits
        bits = reader.match_lengths[code, 1]
        under -= bits
        length = reader.match_lengths[code, 0] + ((word >> under) & ((np.int64(1) << bits) - 1))
        bits = reader.literals_lengths[literal_code, 1]
        under -= bits
        literals = reader.literals_lengths[literal_code, 0] + ((word >> under) & ((np.int64(1) << bits) - 1))
        place += literals
        left -= literals
        found[number, 0] = place
        place += length
        found[number, 1] = place
        found[number, 2] = _resolve(value, literals, offsets)
        if number + 1 < count:
            if under < 27:
                word, under = _word(data, at, bit)
            bits = literal[1, literal_state]
            under -= bits
            literal_state = literal[2, literal_state] + ((word >> under) & ((np.int64(1) << bits) - 1))
            bit -= bits
            bits = match[1, match_state]
            under -= bits
            match_state = match[2, match_state] + ((word >> under) & ((np.int64(1) << bits) - 1))
            bit -= bits
            bits = distance[1, distance_state]
            under -= bits
            distance_state = distance[2, distance_state] + ((word >> under) & ((np.int64(1) << bits) - 1))
            bit -= bits
    return count, place + left


@jit
def _read_tables(data: NDArray[np.uint8], at: Any, owners: NDArray[np.int64], reader: Any) -> Any:
    """Bring the tables up to date by the modes at ``at``; returns where the bitstream begins (3.1.1.3.2.1)."""
    modes = data[at]
    at += 1
    for kind in range(3):
        mode = (modes >> (6 - 2 * kind)) & 3
        if mode == 3:
            continue
        owners[kind] = 1 if mode == 0 else 2
        own = reader.tables[2, kind]
        if mode == 1:
            own[0, 0] = data[at]
            own[1, 0] = 0
            own[2, 0] = 0
            reader.logs[2, kind] = 0
            at += 1
        elif mode == 2:
            at, reader.logs[2, kind] = read_table(data, at, own)
    return at


@jit
def read_matches(
    frames: NDArray[np.uint8], begin: Any, ends: NDArray[np.int64], reader: Any, found: NDArray[np.int64]
) -> Any:
    """Fill ``found`` with the matches of concatenated frames, one per segment of a text.

    Parameters
    ----------
    frames
        Frames with headers of two bytes.
    begin, ends
        Where the first segment begins in the text, and where each one ends.
    reader
        See :class:`._zstd_tables.Reader`; its own tables are written to.
    found
        int64, shape (matches, 3), with room for one match per three bytes: where the match begins and ends in the
        text, and its offset.

    Returns
    -------
    The number of matches, or -1 if the frames are not of segments that end there.
    """
    owners, offsets = np.zeros(3, dtype=np.int64), reader.offsets.copy()
    at = np.int64(0)
    count = np.int64(0)
    place = np.int64(begin)
    for segment in range(len(ends)):
        owners[:] = 0
        offsets[:] = reader.offsets
        at += 2
        last = False
        while not last:
            header = np.int64(frames[at]) | (np.int64(frames[at + 1]) << 8) | (np.int64(frames[at + 2]) << 16)
            last = header & 1 == 1
            kind, size = (header >> 1) & 3, header >> 3
            at += 3
            if kind == 2:
                matches, place = _matches_of_block(frames, at, at + size, place, owners, offsets, reader, found[count:])
                count += matches
            else:
                place += size
            at += 1 if kind == 1 else size
        if place != ends[segment]:
            return -1
    return count


@jit
def _resolve(value: Any, literals: Any, offsets: NDArray[np.int64]) -> Any:
    """The offset that a value stands for, given the last three (section 3.1.1.5), which are brought up to date."""
    if value > 3:
        offsets[2] = offsets[1]
        offsets[1] = offsets[0]
        offsets[0] = value - 3
        return value - 3
    which = value - 1 + (1 if literals == 0 else 0)
    if which == 0:
        return offsets[0]
    offset = offsets[0] - 1 if which == 3 else offsets[which]
    if which > 1:
        offsets[2] = offsets[1]
    offsets[1] = offsets[0]
    offsets[0] = offset
    return offset
