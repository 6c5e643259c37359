"""Which of many strings get a symbol: those that the matches take, in the sample and in the sample with deletions.

Strings as they come from counts or a model are closed under prefixes, and many of those prefixes are never what a match
ends with. A string that goes unused needs no symbol: the walk passes it by. What an edited text would use is not seen
in the sample itself; with a part of its characters deleted, it is.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ...common import rng
from ...common.jit import jit
from ...common.rng import Purpose
from ...vocab import NUM_BYTES
from .double_array import Walker
from .string_set import NO_CODE, Trie

_DELETED_SHARE: Final = 0.1
_BLOCK_BYTES: Final = 1 << 22


def most_used(
    candidates: Trie, size: int, data: NDArray[np.uint8], ends: NDArray[np.int64], words: bool
) -> tuple[Trie, NDArray[np.int32]]:
    """The ``size`` candidates that are used most, and the trie of their prefixes.

    Parameters
    ----------
    candidates
        The strings to choose from, best first: of equally used ones the first are taken.
    size
        How many to take at most.
    data, ends
        The sample, uint8, and where its segments end, int64.
    words
        Whether matches end where words begin.

    Returns
    -------
    The trie, in the order of ``candidates``, and the code of each of its strings, by number: int32, shape
    (256 + strings,); the chosen ones have 256 and up in the order of the trie, the others :data:`NO_CODE`.
    """
    walker = Walker(candidates)
    uses = np.zeros(NUM_BYTES + len(candidates), dtype=np.int64)
    for sample in ((data, ends), with_deletions(data, ends)):
        codes, _ = walker.encode_to_borders(*sample, words=words)
        uses += np.bincount(codes, minlength=len(uses))
    chosen = np.zeros(len(uses), dtype=np.bool_)
    chosen[:NUM_BYTES] = True
    chosen[NUM_BYTES + np.argsort(-uses[NUM_BYTES:], kind="stable")[:size]] = True
    needed = chosen.copy()
    _add_prefixes(candidates.parents, needed)
    rows = np.flatnonzero(needed[NUM_BYTES:])
    numbers = (np.cumsum(needed) - 1).astype(np.int32)
    trie = Trie(numbers[candidates.parents[rows]], candidates.labels[rows])
    kept = chosen[needed]
    return trie, np.where(kept, np.cumsum(kept) - 1, NO_CODE).astype(np.int32)


def with_deletions(data: NDArray[np.uint8], ends: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """A sample without a tenth of its characters (drawn, always the same ones), and where its segments end then.

    A character is a byte with the bytes 0x80 … 0xBF that follow it: UTF-8 loses whole characters.
    """
    stream = rng.key(0, Purpose.COMPRESSOR, 2)
    kept = np.empty(len(data), dtype=np.bool_)
    characters = 0
    for begin in range(0, len(data), _BLOCK_BYTES):
        block = data[begin : begin + _BLOCK_BYTES]
        number = characters + np.cumsum(block & 0xC0 != 0x80)
        draws = rng.uniform(stream, np.arange(characters, int(number[-1]) + 1))
        kept[begin : begin + len(block)] = draws[number - characters] >= _DELETED_SHARE
        characters = int(number[-1])
    if not len(ends):
        return data, ends
    left = np.cumsum(np.add.reduceat(kept, np.concatenate([[0], ends[:-1]]), dtype=np.int64))
    return data[kept], np.unique(left[left > 0])


@jit
def _add_prefixes(parents: NDArray[np.int32], needed: NDArray[np.bool_]) -> None:
    """Mark every prefix of the strings that are marked; a prefix has a smaller number."""
    for s in range(len(parents) - 1, -1, -1):
        if needed[256 + s]:
            needed[parents[s]] = True
