"""Longest match through a trie, as one compiled loop over a flat array.

The trie is laid out as a double array (Aoe, "An efficient digital search algorithm by using a double-array structure",
IEEE TSE 15(9), 1989): from cell ``c`` the byte ``b`` leads to cell ``base[c] + b`` if that cell's owner is ``c``. One
memory access per byte, and half a megabyte for 65,280 strings, which a core's cache holds. Cells 0 … 255 are the
single bytes; they are owned by nobody, and a string without extensions has base 0, so every step stays in the array.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..jit import jit
from ._trie import NUM_BYTES, Trie

# Places tried for a string's extensions among the gaps before they go to the end of the array.
_TRIES = 512


@dataclass(frozen=True)
class Walker:
    """A trie ready to be walked.

    Parameters
    ----------
    cells
        int32, shape (cells, 2): base and owner of each cell; the owner is -1 where nobody's.
    codes
        int32, shape (cells,): the code of the string that ends in a cell.
    """

    cells: NDArray[np.int32]
    codes: NDArray[np.int32]

    @classmethod
    def of(cls, trie: Trie, codes: NDArray[np.int32] | None = None) -> Walker:
        """Lay out ``trie``; ``codes`` are those of its strings by number (default: the numbers)."""
        numbers = np.arange(NUM_BYTES + len(trie), dtype=np.int32)
        cells, cell_of = _lay_out(trie)
        cell_codes = np.zeros(len(cells), dtype=np.int32)
        cell_codes[cell_of] = numbers if codes is None else codes
        return cls(cells, cell_codes)

    def encode(self, data: NDArray[np.uint8], ends: NDArray[np.int64], out: NDArray[Any]) -> NDArray[np.int64]:
        """Write the codes of the longest matches to ``out``; returns where each segment's codes end (int64).

        Parameters
        ----------
        data
            uint8, shape (bytes,).
        ends
            int64: where the segments end, rising to ``len(data)``; no match crosses a border.
        out
            Of an integer dtype that holds every code, with room for one code per byte.
        """
        code_ends = np.empty(len(ends), dtype=np.int64)
        _longest_matches(self.cells, self.codes, data, ends, out, code_ends)
        return code_ends

    def encode_windows(self, data: NDArray[np.uint8], ends: NDArray[np.int64], out: NDArray[Any]) -> NDArray[np.int64]:
        """Like :meth:`encode`, but a match that its segment's end cuts short goes out as literal bytes.

        A code -1 stands for a single byte that has no code: it goes out as a literal byte too.
        """
        code_ends = np.empty(len(ends), dtype=np.int64)
        _windows(self.cells, self.codes, data, ends, out, code_ends)
        return code_ends


def _lay_out(trie: Trie) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """The cells of a trie, and the cell of each string by number."""
    # Extensions of one string side by side, those with many extensions first: they are the hardest to place.
    order = np.lexsort((trie.labels, trie.parents))
    owners, first, count = np.unique(trie.parents[order], return_index=True, return_counts=True)
    hardest = np.argsort(-count, kind="stable")
    room = 4 * NUM_BYTES + 2 * len(trie) + NUM_BYTES * (1 + len(owners) // 8)
    bases = np.zeros(NUM_BYTES + len(trie), dtype=np.int32)
    used = np.zeros(room + NUM_BYTES, dtype=np.bool_)
    size = 0
    while size == 0:
        used = np.zeros(2 * len(used), dtype=np.bool_)
        used[:NUM_BYTES] = True
        size = _place(trie.labels[order], first[hardest], count[hardest], owners[hardest], used, bases)
    cell_of = np.arange(NUM_BYTES + len(trie))
    cell_of[NUM_BYTES:] = bases[trie.parents] + trie.labels.astype(np.int64)
    cells = np.full((size + NUM_BYTES, 2), -1, dtype=np.int32)
    cells[:, 0] = 0
    cells[cell_of, 0] = bases
    cells[cell_of[NUM_BYTES:], 1] = cell_of[trie.parents]
    return cells, cell_of


@jit
def _place(labels: Any, first: Any, count: Any, owners: Any, used: Any, bases: Any) -> int:
    """Choose a base for every owner of extensions; returns the number of cells in use, or 0 if there is no room."""
    lowest = 256
    size = 256
    for k in range(len(first)):
        begin, end = first[k], first[k] + count[k]
        while used[lowest]:
            lowest += 1
        cell = lowest
        tries = 0
        while True:
            if cell + 512 > len(used):
                return 0
            base = cell - labels[begin]
            free = not used[cell] and base >= 1
            for i in range(begin + 1, end):
                free = free and not used[base + labels[i]]
            if free:
                break
            tries += 1
            cell = cell + 1 if tries < _TRIES else max(cell + 1, size)
        for i in range(begin, end):
            used[base + labels[i]] = True
        bases[owners[k]] = base
        size = max(size, base + labels[end - 1] + 1)
    return size


@jit
def _longest_matches(cells: Any, codes: Any, data: Any, ends: Any, out: Any, code_ends: Any) -> None:
    i = 0
    written = 0
    for k in range(len(ends)):
        end = ends[k]
        while i < end:
            cell = np.int64(data[i])
            i += 1
            while i < end:
                following = cells[cell, 0] + np.int64(data[i])
                if cells[following, 1] != cell:
                    break
                cell = following
                i += 1
            out[written] = codes[cell]
            written += 1
        code_ends[k] = written


@jit
def _windows(cells: Any, codes: Any, data: Any, ends: Any, out: Any, code_ends: Any) -> None:
    i = 0
    written = 0
    for k in range(len(ends)):
        end = ends[k]
        while i < end:
            begin = i
            cell = np.int64(data[i])
            i += 1
            filled = codes[cell] < 0
            while i < end and not filled:
                following = cells[cell, 0] + np.int64(data[i])
                filled = cells[following, 1] != cell
                if not filled:
                    cell = following
                    i += 1
            if filled and codes[cell] >= 0:
                out[written] = codes[cell]
                written += 1
            else:
                for j in range(begin, i):
                    out[written] = data[j]
                    written += 1
        code_ends[k] = written
