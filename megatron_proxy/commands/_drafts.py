"""Flags of the commands that write with drafts."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Final

from . import _flags

if TYPE_CHECKING:
    from ..model.generation import Drafting

NONE: Final = "none"
_NAMES: Final = (NONE, "lookup")
_DEFAULT_BYTES: Final = 16


def add_arguments(parser: argparse._ActionsContainer) -> None:
    """``--draft`` and ``--draft-bytes``."""
    parser.add_argument(
        "--draft",
        choices=_NAMES,
        default=NONE,
        help="have bytes proposed that one pass checks: the same bytes, sooner. lookup: what followed the last bytes "
        "where they stood before (default: %(default)s)",
    )
    parser.add_argument(
        "--draft-bytes",
        type=int,
        default=_DEFAULT_BYTES,
        metavar="N",
        help="the most bytes proposed for a pass, adapted to how many are right (default: %(default)s)",
    )


def check(args: argparse.Namespace) -> None:
    """Refuse what no model is needed to refuse."""
    _flags.check_counts(args, "draft_bytes")


def drafting(args: argparse.Namespace) -> Drafting | None:
    """The drafts that the flags name; None without."""
    if args.draft == NONE:
        return None
    from ..model.generation import Drafting, Lookup

    return Drafting(Lookup(), args.draft_bytes)
