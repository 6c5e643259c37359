"""Longest match through a trie, as one compiled loop over a flat array.

The trie is laid out as a double array (Aoe, "An efficient digital search algorithm by using a double-array structure",
IEEE TSE 15(9), 1989): from a cell with base ``B`` the byte ``b`` leads to cell ``B + b`` if that cell's label is ``b``.
No two cells with extensions have the same base, so the label alone tells whose extension a cell is. One memory access
of four bytes per byte of text, and some 4.5 bytes per string, so that a core's cache holds the trie.

Cells 0 … 255 are the single bytes. They and the gaps have a label that is no byte, and a string without extensions has
base 0, so every step stays in the array.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...common.jit import jit
from ...errors import CompressorError
from ...vocab import NUM_BYTES
from .string_set import Trie

# Places tried for a string's extensions before the cells up to there are left to strings with fewer extensions.
_TRIES = 256
# A cell's label has nine bits (the ninth alone: nobody's), its base the other 23.
_LABEL_BITS = 9
_NOBODY = 256
_MAX_CELLS = 1 << (32 - _LABEL_BITS)


def _kinds() -> NDArray[np.uint8]:
    """Of each byte: 1 letter or digit, 2 first of a character of several bytes, 3 further one, 4 space, 0 others."""
    kinds = np.zeros(NUM_BYTES, dtype=np.uint8)
    kinds[list(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")] = 1
    kinds[0xC0:] = 2
    kinds[0x80:0xC0] = 3
    kinds[ord(" ")] = 4
    return kinds


_KINDS: Final = _kinds()
# How good it is to end between two bytes, by the kinds of the first (rows) and the second: 2 where a word begins, 1
# before spaces and after a character of several bytes, 0 elsewhere.
_RANKS: Final = np.array(
    [[0, 2, 2, 2, 1], [0, 0, 0, 0, 1], [1, 1, 1, 0, 1], [1, 1, 1, 0, 1], [0, 2, 2, 2, 0]], dtype=np.int64
)


class Walker:
    """A trie ready to be walked.

    Parameters
    ----------
    trie
        The strings.
    codes
        int32, shape (256 + strings,): the code of each string by number; by default its number.
    """

    def __init__(self, trie: Trie, codes: NDArray[np.int32] | None = None) -> None:
        self.cells, cell_of = _lay_out(trie)
        self._codes = np.zeros(len(self.cells), dtype=np.int32)
        self._codes[cell_of] = np.arange(len(cell_of)) if codes is None else codes

    def encode(
        self, data: NDArray[np.uint8], ends: NDArray[np.int64], dtype: Any = np.int32, *, whole: bool = False
    ) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """The codes of the longest matches (a view of a longer array), and where each segment's codes end (int64).

        Parameters
        ----------
        data
            uint8, shape (bytes,).
        ends
            int64: where the segments end, rising to ``len(data)``; no match crosses a border.
        dtype
            Of the codes: one that holds every one.
        whole
            Whether a match that its segment's end cuts short goes out as literal bytes, and so does a single byte
            that has no code (-1).
        """
        codes, code_ends = np.empty(len(data), dtype=dtype), np.empty(len(ends), dtype=np.int64)
        _longest_matches(self.cells, self._codes, whole, data, ends, codes, code_ends)
        return codes[: code_ends[-1] if len(ends) else 0], code_ends

    def encode_to_borders(
        self, data: NDArray[np.uint8], ends: NDArray[np.int64], dtype: Any = np.int32, *, words: bool
    ) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Like :meth:`encode`, but not every string has a code (-1: none), and some ends are better than others.

        With ``words`` a match ends where a word begins (or its segment ends), as late as it can; if no such place is
        in reach, before a space or after a character of several bytes; and only then just as late as it can.
        """
        codes, code_ends = np.empty(len(data), dtype=dtype), np.empty(len(ends), dtype=np.int64)
        kinds = _KINDS if words else np.zeros_like(_KINDS)
        _to_borders(self.cells, self._codes, kinds, _RANKS, data, ends, codes, code_ends)
        return codes[: code_ends[-1] if len(ends) else 0], code_ends


def _lay_out(trie: Trie) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """The cells of a trie, and the cell of each string by number."""
    # Extensions of one string side by side, those with many extensions first: they are the hardest to place.
    order = np.lexsort((trie.labels, trie.parents))
    owners, first, count = np.unique(trie.parents[order], return_index=True, return_counts=True)
    hardest = np.argsort(-count, kind="stable")
    bases = np.zeros(NUM_BYTES + len(trie), dtype=np.int64)
    room = 8 * NUM_BYTES + 2 * len(trie)
    size = 0
    while size == 0:
        room *= 2
        if room > _MAX_CELLS:
            raise CompressorError("these strings are spread too thinly for a trie")
        size = _place(trie.labels[order], first[hardest], count[hardest], owners[hardest], room, bases)
    cell_of = np.arange(NUM_BYTES + len(trie))
    cell_of[NUM_BYTES:] = bases[trie.parents] + trie.labels
    cells = np.full(size + NUM_BYTES, _NOBODY, dtype=np.uint32)
    cells[cell_of[NUM_BYTES:]] = trie.labels
    cells[cell_of] |= bases.astype(np.uint32) << _LABEL_BITS
    return cells, cell_of


@jit
def _place(labels: Any, first: Any, count: Any, owners: Any, room: int, bases: Any) -> int:
    """Choose a base for every string with extensions; returns the number of cells in use, 0 if there is no room."""
    used = np.zeros(room, dtype=np.bool_)
    taken = np.zeros(room, dtype=np.bool_)
    used[:256] = True
    lowest = size = 256
    for k in range(len(first)):
        begin, end = first[k], first[k] + count[k]
        if k and count[k] < count[k - 1]:
            lowest = 256
        while used[lowest]:
            lowest += 1
        cell, tries = lowest, 0
        while True:
            if cell + 512 > room:
                return 0
            base = cell - labels[begin]
            free = not used[cell] and not taken[base]
            for i in range(begin + 1, end):
                free = free and not used[base + labels[i]]
            if free:
                break
            cell, tries = cell + 1, tries + 1
            if tries % _TRIES == 0:
                lowest = cell
        for i in range(begin, end):
            used[base + labels[i]] = True
        taken[base] = True
        bases[owners[k]] = base
        size = max(size, base + labels[end - 1] + 1)
    return size


@jit
def _longest_matches(cells: Any, codes: Any, whole: bool, data: Any, ends: Any, out: Any, code_ends: Any) -> None:
    """With ``whole``, what the end of a segment cuts short and bytes without a code are left as literal bytes."""
    i = 0
    written = 0
    for k in range(len(ends)):
        end = ends[k]
        while i < end:
            begin = i
            place = np.int64(data[i])
            cell = cells[place]
            i += 1
            ended = whole and codes[place] < 0
            while i < end and not ended:
                following = np.int64(cell >> 9) + np.int64(data[i])
                content = cells[following]
                ended = content & 511 != data[i]
                if not ended:
                    place, cell = following, content
                    i += 1
            if not whole or (ended and codes[place] >= 0):
                out[written] = codes[place]
                written += 1
            else:
                for j in range(begin, i):
                    out[written] = data[j]
                    written += 1
        code_ends[k] = written


@jit
def _to_borders(cells: Any, codes: Any, kinds: Any, ranks: Any, data: Any, ends: Any, out: Any, code_ends: Any) -> None:
    i = 0
    written = 0
    for k in range(len(ends)):
        end = ends[k]
        while i < end:
            place = np.int64(data[i])
            cell = cells[place]
            before = kinds[place]
            i += 1
            stop = i
            code = codes[place]
            best = 0
            while i < end:
                byte = np.int64(data[i])
                after = kinds[byte]
                if codes[place] >= 0:
                    rank = ranks[before, after]
                    if rank >= best:
                        best, stop, code = rank, i, codes[place]
                following = np.int64(cell >> 9) + byte
                content = cells[following]
                if content & 511 != byte:
                    break
                place, cell, before = following, content, after
                i += 1
            # The segment's end is the best place of all.
            if i == end and codes[place] >= 0:
                stop, code = i, codes[place]
            i = stop
            out[written] = code
            written += 1
        code_ends[k] = written
