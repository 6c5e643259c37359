"""The matches that zstd chose, read off its compressed blocks (RFC 8878, section 3.1.1.3).

Only frames that this process has just made are read here, so they are taken to be well formed; what is read is held
against the text all the same. Literals need no decoding: they are the text between the matches.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..jit import jit
from ._zstd_tables import MOST_STATES, OWN, read_table


class _State(NamedTuple):
    """What one block hands to the next.

    Parameters
    ----------
    own
        int32, shape (3, states): the block's own tables, by kind.
    logs
        log2 of the number of their states.
    owners
        Whose table is in force, by kind.
    offsets
        The last three offsets.
    """

    own: NDArray[np.int32]
    logs: NDArray[np.int64]
    owners: NDArray[np.int64]
    offsets: NDArray[np.int64]


@jit
def new_state() -> Any:
    """Room for :func:`segment_matches` to work in: one per thread, as it is written to."""
    return _State(
        np.empty((3, MOST_STATES), dtype=np.int32),
        np.empty(3, dtype=np.int64),
        np.empty(3, dtype=np.int64),
        np.empty(3, dtype=np.int64),
    )


def words_of(data: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """The eight bytes from each place on as one word, the first one lowest: a view, uint64, shape (bytes - 7,)."""
    return np.ndarray((max(len(data) - 7, 0),), dtype=np.uint64, buffer=data, strides=(1,))


@jit
def _word(words: NDArray[np.uint64], begin: Any, bit: Any) -> tuple[Any, Any]:
    """The bits before bit ``bit`` of the stream that begins at byte ``begin``: a word, and how many it holds.

    They are 49 at least; before the stream's beginning anything may stand.
    """
    top = begin + ((bit + 7) >> 3)
    word = words[np.uint64(top - 8)] >> np.uint64(8) if top >= 8 else np.uint64(0)
    return np.int64(word), np.int64(56) - ((8 - (bit & 7)) & 7)


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
    words: NDArray[np.uint64],
    at: Any,
    end: Any,
    place: Any,
    state: Any,
    reader: Any,
    found: NDArray[np.int64],
) -> tuple[Any, Any]:
    """Fill ``found`` from the compressed block in ``data[at:end]``, whose text begins at ``place``.

    Returns
    -------
    The number of matches (-1 if there is no room for them), and where the block's text ends.
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
    if count > len(found):
        return np.int64(-1), place
    at = _read_tables(data, at, state)
    literal, literal_log = _table(0, state, reader)
    distance, distance_log = _table(1, state, reader)
    match, match_log = _table(2, state, reader)
    bit = (end - at) * 8 - 1
    while (data[at + (bit >> 3)] >> (bit & 7)) & 1 == 0:
        bit -= 1
    one = np.int64(1)
    word, under = _word(words, at, bit)
    under -= literal_log
    literal_entry = np.int64(literal[(word >> under) & ((one << literal_log) - 1)])
    under -= distance_log
    distance_entry = np.int64(distance[(word >> under) & ((one << distance_log) - 1)])
    under -= match_log
    match_entry = np.int64(match[(word >> under) & ((one << match_log) - 1)])
    bit -= literal_log + distance_log + match_log
    for number in range(count):
        # All that follows is read from one word of 56 bits, as far as that holds it.
        word, under = _word(words, at, bit)
        bits = distance_entry & 255
        under -= bits
        value = (one << bits) + ((word >> under) & ((one << bits) - 1))
        bit -= bits
        code = match_entry & 255
        literal_code = literal_entry & 255
        match_bits, literal_bits = reader.match_lengths[code, 1], reader.literals_lengths[literal_code, 1]
        if match_bits + literal_bits > under:
            word, under = _word(words, at, bit)
        bit -= match_bits + literal_bits
        under -= match_bits
        length = reader.match_lengths[code, 0] + ((word >> under) & ((one << match_bits) - 1))
        under -= literal_bits
        literals = reader.literals_lengths[literal_code, 0] + ((word >> under) & ((one << literal_bits) - 1))
        place += literals
        left -= literals
        found[number, 0] = place
        place += length
        found[number, 1] = place
        found[number, 2] = _resolve(value, literals, state.offsets)
        if number + 1 < count:
            if under < 27:
                word, under = _word(words, at, bit)
            bits = (literal_entry >> 8) & 255
            under -= bits
            bit -= bits
            literal_entry = np.int64(literal[(literal_entry >> 16) + ((word >> under) & ((one << bits) - 1))])
            bits = (match_entry >> 8) & 255
            under -= bits
            bit -= bits
            match_entry = np.int64(match[(match_entry >> 16) + ((word >> under) & ((one << bits) - 1))])
            bits = (distance_entry >> 8) & 255
            under -= bits
            bit -= bits
            distance_entry = np.int64(distance[(distance_entry >> 16) + ((word >> under) & ((one << bits) - 1))])
    return count, place + left


@jit
def _table(kind: Any, state: Any, reader: Any) -> tuple[Any, Any]:
    """The table in force, and log2 of the number of its states."""
    owner = state.owners[kind]
    if owner == OWN:
        return state.own[kind], state.logs[kind]
    return reader.tables[owner, kind], reader.logs[owner, kind]


@jit
def _read_tables(data: NDArray[np.uint8], at: Any, state: Any) -> Any:
    """Bring the tables up to date by the modes at ``at``; returns where the bitstream begins (3.1.1.3.2.1)."""
    modes = data[at]
    at += 1
    for kind in range(3):
        mode = (modes >> (6 - 2 * kind)) & 3
        if mode == 3:
            continue
        state.owners[kind] = 1 if mode == 0 else 2
        if mode == 1:
            state.own[kind, 0] = data[at]
            state.logs[kind] = 0
            at += 1
        elif mode == 2:
            at, state.logs[kind] = read_table(data, at, state.own[kind])
    return at


@jit
def segment_matches(
    frames: NDArray[np.uint8],
    words: NDArray[np.uint64],
    at: Any,
    place: Any,
    end: Any,
    reader: Any,
    state: Any,
    found: NDArray[np.int64],
) -> tuple[Any, Any]:
    """Fill ``found`` with the matches of the frame at ``frames[at]``, of the segment from ``place`` to ``end``.

    Parameters
    ----------
    frames, words
        Frames with headers of two bytes, one after the other; and :func:`words_of` them.
    at, place, end
        Where the frame begins, and where the segment begins and ends in the text.
    reader
        See :class:`._zstd_tables.Reader`.
    state
        From :func:`new_state`.
    found
        int64, shape (matches, 3), with room for one match per three bytes: where the match begins and ends in the
        text, and its offset.

    Returns
    -------
    The number of matches, or -1 if the frame is not of a segment that ends there; and where the next frame begins.
    """
    state.owners[:] = 0
    state.offsets[:] = reader.offsets
    at += 2
    count = np.int64(0)
    last = False
    while not last:
        header = np.int64(frames[at]) | (np.int64(frames[at + 1]) << 8) | (np.int64(frames[at + 2]) << 16)
        last = header & 1 == 1
        kind, size = (header >> 1) & 3, header >> 3
        at += 3
        if kind == 2:
            matches, place = _matches_of_block(frames, words, at, at + size, place, state, reader, found[count:])
            if matches < 0:
                return np.int64(-1), at
            count += matches
        else:
            place += size
        at += 1 if kind == 1 else size
    return (count if place == end else np.int64(-1)), at


@jit
def read_matches(
    frames: NDArray[np.uint8],
    words: NDArray[np.uint64],
    begin: Any,
    ends: NDArray[np.int64],
    reader: Any,
    found: NDArray[np.int64],
) -> Any:
    """Fill ``found`` with the matches of all frames, one per segment of a text; how many, or -1 as above.

    ``begin`` is where the first segment begins in the text, ``ends`` where each one ends.
    """
    state = new_state()
    at = count = np.int64(0)
    place = np.int64(begin)
    for end in ends:
        matches, at = segment_matches(frames, words, at, place, end, reader, state, found[count:])
        if matches < 0:
            return matches
        count += matches
        place = end
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
