"""The matches that zstd chose, read off its compressed blocks (RFC 8878, section 3.1.1.3).

Only frames that this process has just made are read here, so they are taken to be well formed; what is read is held
against the text all the same. Literals need no decoding: they are the text between the matches.

Frames end with padding, so that they can be read by words: see ``compressors.words``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...common.jit import jit, jit_borrowing
from .tables import MOST_STATES, OWN, build_constant, read_table


@jit
def _word(words: NDArray[np.int64], begin: Any, bit: Any) -> tuple[Any, Any]:
    """The bits before bit ``bit`` of the stream that begins at byte ``begin``: a word, and how many of its bits.

    They are 56 at least; before the stream's beginning anything may stand.
    """
    return words[np.uint64(begin + (bit >> 3) - 7)], 56 + (bit & 7)


@jit
def _bits(word: Any, under: Any, count: Any) -> Any:
    """``count`` bits of a word, above its ``under`` lowest ones."""
    return (word >> under) & ((np.int64(1) << count) - 1)


@jit
def _entry(tables: NDArray[np.int64], first: Any, count: Any, word: Any, under: Any) -> tuple[Any, Any]:
    """The state among those from ``first`` on that the next ``count`` bits of a word choose; what is under them."""
    under -= count
    return tables[np.uint64(first + _bits(word, under, count))], under


@jit
def _value(entry: Any, word: Any, under: Any) -> tuple[Any, Any]:
    """What a state's code stands for, with the next bits of a word, which are its extra ones; what is under them."""
    count = (entry >> 8) & 255
    under -= count
    return (entry >> 32) + _bits(word, under, count), under


@jit
def literals_section(word: Any) -> tuple[Any, Any]:
    """Size of the literals section that begins with ``word``, header included, and how many they are (3.1.1.3.1)."""
    kind, form = word & 3, (word >> 2) & 3
    if kind < 2:
        header = 2 if form == 1 else 3 if form == 3 else 1
        literals = (word >> 3) & 31 if header == 1 else (word >> 4) & (0xFFF if header == 2 else 0xFFFFF)
        return header + (1 if kind == 1 else literals), literals
    header = 3 if form < 2 else form + 2
    bits = 10 if form < 2 else 14 if form == 2 else 18
    return header + _bits(word, 4 + bits, bits), _bits(word, 4, bits)


@jit
def _number_of_sequences(word: Any) -> tuple[Any, Any]:
    """What ``word`` begins with (3.1.1.3.2.1), and how many bytes it takes."""
    count = word & 255
    if count < 128:
        return count, 1
    if count < 255:
        return ((count - 128) << 8) + ((word >> 8) & 255), 2
    return ((word >> 8) & 0xFFFF) + 0x7F00, 3


@jit_borrowing
def _matches_of_block(
    data: NDArray[np.uint8],
    words: NDArray[np.int64],
    at: Any,
    end: Any,
    place: Any,
    reader: Any,
    found: NDArray[np.int64],
    first: Any,
) -> tuple[Any, Any]:
    """Fill ``found[first:]`` from the compressed block in ``data[at:end]``, whose text begins at ``place``.

    Returns
    -------
    The number of matches (-1 if there is no room for them), and where the block's text ends.
    """
    size, left = literals_section(words[at])
    at += size
    count, size = _number_of_sequences(words[at])
    at += size
    if count == 0:
        return count, place + left
    if first + count > len(found):
        return np.int64(-1), place
    at = _read_tables(data, at, reader)
    # The stream ends before the highest bit that is set.
    bit = (end - at) * 8 - 1
    while (data[end - 1] >> (bit & 7)) & 1 == 0:
        bit -= 1
    return count, _read_sequences(words, at, bit, place, left, reader, found, first, first + count)


@jit_borrowing
def _read_sequences(
    words: NDArray[np.int64],
    at: Any,
    bit: Any,
    place: Any,
    left: Any,
    reader: Any,
    found: NDArray[np.int64],
    first: Any,
    last: Any,
) -> Any:
    """Fill ``found[first:last]`` from the bits before bit ``bit`` of the stream at byte ``at``.

    ``left`` is the number of the block's literals. Returns where its text ends.
    """
    tables, logs, rows, offsets = reader.tables, reader.logs, reader.rows, reader.offsets
    latest, second, third = offsets[0], offsets[1], offsets[2]
    word, under = _word(words, at, bit)
    start = under
    literal, under = _entry(tables, rows[0], logs[rows[0] // MOST_STATES], word, under)
    distance, under = _entry(tables, rows[1], logs[rows[1] // MOST_STATES], word, under)
    match, under = _entry(tables, rows[2], logs[rows[2] // MOST_STATES], word, under)
    bit -= start - under
    for number in range(first, last):
        # One word holds the extra bits of all three, and most often the bits of the next states too.
        word, under = _word(words, at, bit)
        start = under
        value, under = _value(distance, word, under)
        length, under = _value(match, word, under)
        literals, under = _value(literal, word, under)
        # Section 3.1.1.5: small values stand for the last three offsets.
        which = value - 1 + (literals == 0)
        if value > 3:
            latest, second, third = value - 3, latest, second
        elif which == 1:
            latest, second = second, latest
        elif which > 1:
            latest, second, third = third if which == 2 else latest - 1, latest, second
        place += literals
        left -= literals
        found[number, 0] = place
        place += length
        found[number, 1] = place
        found[number, 2] = latest
        if under < 27:
            bit -= start - under
            word, under = _word(words, at, bit)
            start = under
        literal, under = _entry(tables, (literal >> 16) & 0xFFFF, literal & 255, word, under)
        match, under = _entry(tables, (match >> 16) & 0xFFFF, match & 255, word, under)
        distance, under = _entry(tables, (distance >> 16) & 0xFFFF, distance & 255, word, under)
        bit -= start - under
    offsets[0], offsets[1], offsets[2] = latest, second, third
    return place + left


@jit_borrowing
def _read_tables(data: NDArray[np.uint8], at: Any, reader: Any) -> Any:
    """Bring the tables up to date by the modes at ``at``; returns where the bitstream begins (3.1.1.3.2.1)."""
    modes = data[at]
    at += 1
    for kind in range(3):
        mode = (modes >> (6 - 2 * kind)) & 3
        if mode == 3:
            continue
        reader.rows[kind] = (3 * (1 if mode == 0 else OWN) + kind) * MOST_STATES
        if mode == 1:
            build_constant(data[at], OWN, kind, reader)
            at += 1
        elif mode == 2:
            at = read_table(data, at, OWN, kind, reader)
    return at


@jit_borrowing
def segment_matches(
    frames: NDArray[np.uint8],
    words: NDArray[np.int64],
    at: Any,
    place: Any,
    end: Any,
    reader: Any,
    found: NDArray[np.int64],
    first: Any,
) -> tuple[Any, Any]:
    """Fill ``found[first:]`` with the matches of the frame at ``frames[at]``, of the segment from ``place`` to ``end``.

    Parameters
    ----------
    frames, words
        Frames with headers of two bytes, one after the other, and padding, and their words (``compressors.words``).
    at, place, end
        Where the frame begins, and where the segment begins and ends in the text.
    reader
        This thread's own.
    found
        int64, shape (matches, 3), with room for one match per three bytes: where the match begins and ends in the
        text, and its offset.
    first
        Where in ``found`` to begin.

    Returns
    -------
    The number of matches, or -1 if the frame is not of a segment that ends there; and where the next frame begins.
    """
    for kind in range(3):
        reader.rows[kind] = kind * MOST_STATES
        reader.offsets[kind] = reader.first[kind]
    at += 2
    count = np.int64(0)
    last = False
    while not last:
        header = words[at] & 0xFFFFFF
        last = header & 1 == 1
        kind, size = (header >> 1) & 3, header >> 3
        at += 3
        if kind == 2:
            matches, place = _matches_of_block(frames, words, at, at + size, place, reader, found, first + count)
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
    words: NDArray[np.int64],
    ends: NDArray[np.int64],
    reader: Any,
    found: NDArray[np.int64],
) -> Any:
    """Fill ``found`` with the matches of all frames, one per segment of a text; how many, or -1 as above.

    ``ends`` are where the segments end in the text.
    """
    at = count = place = np.int64(0)
    for end in ends:
        matches, at = segment_matches(frames, words, at, place, end, reader, found, count)
        if matches < 0:
            return matches
        count += matches
        place = end
    return count
