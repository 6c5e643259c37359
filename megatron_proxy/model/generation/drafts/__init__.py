"""Drafts: bytes that may follow, proposed for little, and read by the model in one pass.

What the model would have written itself is kept, up to the first byte where it differs, and that byte is the model's:
a pass writes one byte at least, and with a good draft several. A draft decides how many passes are needed, never what
is written: each byte is chosen from the model's own logits with the random number of its place, as without drafts. So
greedy bytes are the same; and a sampled byte agrees with a draft with the model's own probability of it, and is drawn
from what is left otherwise, which is the rule of speculative sampling (arXiv 2302.01318) for a draft without chance.

=============  ====================================================================
lookup.py      what followed the last bytes where they stood before
strings.py     what follows them most often, by the strings of a compressor
pace.py        how many bytes to draft, and when not to
=============  ====================================================================

A draft of your own is an object with ``propose``; whatever it proposes, the bytes written are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ....errors import check_count
from .lookup import Lookup
from .pace import Pace
from .strings import Strings

__all__ = ["Draft", "Drafting", "First", "Lookup", "Pace", "Strings"]


class Draft(Protocol):
    """Proposes what may follow."""

    def propose(self, context: bytes, most: int) -> bytes:
        """At most ``most`` bytes that may follow ``context`` (a prompt and what was written after it); b"" for none."""


@dataclass(frozen=True)
class First:
    """The draft of the first that has one.

    Parameters
    ----------
    drafts
        The surest first.
    """

    drafts: Sequence[Draft]

    def propose(self, context: bytes, most: int) -> bytes:
        """What may follow ``context``: see :class:`Draft`."""
        return next((proposal for draft in self.drafts if (proposal := draft.propose(context, most))), b"")


@dataclass
class Drafting:
    """Where drafts come from, and what became of them.

    Parameters
    ----------
    draft
        Proposes the bytes, if anything but the model does.
    most
        The most bytes of a draft; how many are asked for is adapted to how many are kept.
    by_model
        Whether the model's own layer that looks ahead (``--mtp-num-layers``) proposes bytes where ``draft`` has none.
        It goes on from what is kept between passes.
    passes, proposed, accepted
        Counted: passes of each row, bytes proposed, and those of them that the model would have written.

    Raises
    ------
    ConfigurationError
        Less than one byte.
    """

    draft: Draft | None
    most: int
    by_model: bool = False
    passes: int = 0
    proposed: int = 0
    accepted: int = 0

    def __post_init__(self) -> None:
        check_count(self.most, "--draft-bytes")

    def propose(self, context: bytes, most: int) -> bytes:
        """At most ``most`` bytes, by ``draft``."""
        return self.draft.propose(context, most)[:most] if self.draft and most else b""

    def count(self, proposed: int, accepted: int) -> None:
        """Count a row's pass."""
        self.passes += 1
        self.proposed += proposed
        self.accepted += accepted
