"""One sequence that is being written."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import ConfigurationError, check_count
from ...vocab import BYTE_OFFSET, EOS, RAW_CLOSE, SYMBOL_OFFSET
from . import utf8

ENDS: Final = (EOS, RAW_CLOSE)
"""Ids that end a raw view."""


@dataclass(frozen=True)
class Limits:
    """When a row ends, and what it may write.

    Parameters
    ----------
    max_bytes
        The most bytes to write.
    stop
        Strings that end a row; they are not part of what was written.
    valid_utf8
        Whether only valid UTF-8 may be written.

    Raises
    ------
    ConfigurationError
        No bytes at all, or an empty stop string.
    """

    max_bytes: int = 256
    stop: tuple[bytes, ...] = ()
    valid_utf8: bool = True

    def __post_init__(self) -> None:
        check_count(self.max_bytes, "--max-bytes")
        if b"" in self.stop:
            raise ConfigurationError("an empty stop string would stop at once", where="--stop")


class Completion(NamedTuple):
    """What a row wrote, and why it ended: ``end`` (the model closed the text), ``stop``, or ``length``."""

    text: bytes
    reason: str


class Row:
    """A prompt and what was written after it."""

    def __init__(self, prompt: bytes, limits: Limits) -> None:
        self._limits = limits
        self.text = bytearray(prompt)
        self._written_from = len(prompt)
        self._given_up_to = len(prompt)
        # A character has at most 4 bytes: earlier ones cannot matter.
        self._state = reduce(utf8.advance, prompt[-4:], utf8.START)
        self.reason: str | None = None

    @property
    def written(self) -> int:
        """Bytes written so far."""
        return len(self.text) - self._written_from

    @property
    def left(self) -> int:
        """Bytes that may still be written."""
        return self._limits.max_bytes - self.written

    def allowed(self) -> NDArray[np.bool_]:
        """Which ids may come next: bool, shape (320,)."""
        allowed = np.zeros(SYMBOL_OFFSET, dtype=np.bool_)
        anything = not self._limits.valid_utf8
        allowed[BYTE_OFFSET:] = anything or utf8.NEEDED[self._state] < self.left
        allowed[list(ENDS)] = anything or self._state == utf8.START
        return allowed

    def append(self, id_: int) -> None:
        """Take the id that was chosen, and see whether the row ends with it."""
        if id_ in ENDS:
            self.reason = "end"
            return
        byte = id_ - BYTE_OFFSET
        self.text.append(byte)
        self._state = utf8.advance(self._state, byte)
        # A stop string may not reach into the prompt.
        sizes = [len(stop) for stop in self._limits.stop if len(stop) <= self.written and self.text.endswith(stop)]
        if sizes:
            del self.text[-max(sizes) :]
            self.reason = "stop"
        elif self.left <= 0:
            self.reason = "length"

    def take(self) -> bytes:
        """What can be shown now and was not shown yet.

        Held back are the beginning of what may become a stop string and, with valid UTF-8, unfinished characters.
        """
        fresh = bytes(self.text[self._given_up_to :])
        if self.reason is None:
            fresh = fresh[: len(fresh) - self._held_back(fresh)]
            if self._limits.valid_utf8:
                fresh = b"" if self._goes_on_with_the_prompt(fresh) else fresh[: utf8.complete(fresh)]
        self._given_up_to += len(fresh)
        return fresh

    def _goes_on_with_the_prompt(self, fresh: bytes) -> bool:
        """Whether all that was written is part of a character that the prompt began and that is not finished."""
        return self._state != utf8.START and all(byte & 0xC0 == 0x80 for byte in fresh)

    def _held_back(self, fresh: bytes) -> int:
        """Length of the longest end of ``fresh`` that a stop string begins with."""
        sizes = [
            size
            for stop in self._limits.stop
            for size in range(1, min(len(stop) - 1, len(fresh)) + 1)
            if fresh.endswith(stop[:size])
        ]
        return max(sizes, default=0)

    def completion(self) -> Completion:
        """What was written in all."""
        return Completion(bytes(self.text[self._written_from :]), self.reason or "length")
