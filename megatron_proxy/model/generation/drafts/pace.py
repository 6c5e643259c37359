"""How many bytes to draft, and when not to: learned from what became of the drafts before."""

from __future__ import annotations

from typing import Final

_FIRST: Final = 4
_LONGEST_PAUSE: Final = 64
"""Passes: one draft in so many, all in vain, costs one or two per cent."""


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
        self._pause = 0
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
        if not accepted:
            self._pause = min(max(1, 4 * self._pause), _LONGEST_PAUSE)
            self._wait = self._pause
            self._length = min(_FIRST, self._most)
            return
        self._pause = 0
        self._length = min(max(_FIRST, 2 * accepted), self._most)
