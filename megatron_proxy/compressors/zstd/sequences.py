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
def _literals_section(word: Any) -> tuple[Any, Any]:
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
    size, left = _literals_section(words[at])
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
    tables, logs = reader.tables, reader.logs
    offsets = reader.offsets
    latest, second, third = offsets[0], offsets[1], offsets[2]
    word, under = _word(words, at, bit)
    start = under
    log = logs[reader.rows[0] // MOST_STATES]
    under -= log
    literal = tables[np.uint64(reader.rows[0] + _bits(word, under, log))]
    log = logs[reader.rows[1] // MOST_STATES]
    under -= log
    distance = tables[np.uint64(reader.rows[1] + _bits(word, under, log))]
    log = logs[reader.rows[2] // MOST_STATES]
    under -= log
    match = tables[np.uint64(reader.rows[2] + _bits(word, under, log))]
    bit -= start - under
    for number in range(first, last):
        # One word holds the extra bits of all three, and most often the bits of the next states too.
        word, under = _word(words, at, bit)
        start = under
        count = (distance >> 8) & 255
        under -= count
        value = (distance >> 32) + _bits(word, under, count)
        count = (match >> 8) & 255
        under -= count
        length = (match >> 32) + _bits(word, under, count)
        count = (literal >> 8) & 255
        under -= count
        literals = (literal >> 32) + _bits(word, under, count)
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
        count = literal & 255
        under -= count
        literal = tables[np.uint64(((literal >> 16) & 0xFFFF) + _bits(word, under, count))]
        count = match & 255
        under -= count
        match = tables[np.uint64(((match >> 16) & 0xFFFF) + _bits(word, under, count))]
        count = distance & 255
        under -= count
        distance = tables[np.uint64(((distance >> 16) & 0xFFFF) + _bits(word, under, count))]
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
