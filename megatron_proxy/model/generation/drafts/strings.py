"""``strings``: what follows most often, by the byte strings that a compressor has learned from the corpus.

The strings of ``trie`` and ``neural`` are closed under prefixes and in order of falling weight: of two that go on from
the same bytes the first is the likelier. So the set is a model of the next byte, which looks at as many last bytes as
are the beginning of a string.
"""

from __future__ import annotations

from typing import Final

from ....compressors.strings.string_set import Trie
from ....vocab import NUM_BYTES

_SHORTEST: Final = 3
"""Fewer last bytes say too little of what follows them."""


class Strings:
    """The likeliest byte after the longest end that goes on, again and again.

    Parameters
    ----------
    trie
        The strings.
    """

    def __init__(self, trie: Trie) -> None:
        self._next: dict[bytes, int] = {}
        for number in range(NUM_BYTES, NUM_BYTES + len(trie)):
            string = trie.string(number)
            self._next.setdefault(string[:-1], string[-1])
        self._longest = max(map(len, self._next), default=0)

    def propose(self, context: bytes, most: int) -> bytes:
        """What may follow ``context``: see :class:`megatron_proxy.model.generation.drafts.Draft`."""
        text = bytearray(context[-self._longest :])
        known = len(text)
        while len(text) - known < most and (byte := self._after(text)) is not None:
            text.append(byte)
        return bytes(text[known:])

    def _after(self, text: bytearray) -> int | None:
        for size in range(min(len(text), self._longest), _SHORTEST - 1, -1):
            if (byte := self._next.get(bytes(text[-size:]))) is not None:
                return byte
        return None
