"""How many bytes to draft, and when not to: learned from what became of the drafts before.

A pass over some bytes costs up to twice one over a single byte where the model is small, and next to nothing more where
it is large. So a draft is taken to cost a byte: what it keeps beyond that is gain, and what is lost is owed.
"""

from __future__ import annotations

from typing import Final

_FIRST: Final = 4
_MOST_OWED: Final = 4
"""Then one draft in 64 passes, all in vain, costs one or two per cent."""


class Pace:
    """The drafts of one row: longer while they are right; none for a while, and longer each time, while they are wrong.

    Parameters
    ----------
    most
        The most bytes to draft at once.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._length = min(_FIRST, most)
        self._owed = 0
        self._wait = 0

    def wanted(self) -> int:
        """How many bytes to draft for the next pass; 0 lets it go without."""
        if self._wait:
            self._wait -= 1
            return 0
        return self._length

    def learn(self, proposed: int, accepted: int) -> None:
        """Take in what became of a draft; one of no bytes says nothing."""
        if not proposed:
            return
        self._length = min(max(_FIRST, 2 * accepted), self._most)
        self._owed = min(max(0, self._owed + 1 - accepted), _MOST_OWED)
        if not accepted:
            self._wait = 4 ** (self._owed - 1)
