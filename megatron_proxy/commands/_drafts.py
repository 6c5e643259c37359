"""Flags of the commands that write with drafts."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Final

from ..errors import ConfigurationError
from . import _flags

if TYPE_CHECKING:
    from ..model.generation import Draft, Drafting

NONE: Final = "none"
_STRINGS: Final = "strings"
_MTP: Final = "mtp"
_NAMES: Final = (NONE, "lookup", _STRINGS, _MTP)
# The compressors whose symbols are strings of the corpus in order of their weight.
_OF_STRINGS: Final = ("trie", "neural")


def add_arguments(parser: argparse._ActionsContainer) -> None:
    """``--draft``, ``--draft-bytes`` and ``--data-prefix``."""
    parser.add_argument(
        "--draft",
        choices=_NAMES,
        default=NONE,
        help="have bytes proposed that one pass checks: the same bytes, sooner. lookup: what followed the last bytes "
        "where they stood before; strings: that, or what follows most often by the strings of a trie or neural view; "
        "mtp: that of lookup, or what the model's own layer of --mtp-num-layers expects (default: %(default)s)",
    )
    parser.add_argument(
        "--draft-bytes",
        type=int,
        default=16,
        metavar="N",
        help="the most bytes proposed for a pass, adapted to how many are right (default: %(default)s)",
    )
    parser.add_argument("--data-prefix", metavar="PREFIX", help="a prepared dataset, for --draft strings; any will do")


def check(args: argparse.Namespace) -> None:
    """Refuse what neither model nor dataset is needed to refuse."""
    _flags.check_counts(args, "draft_bytes")
    if args.draft == _STRINGS and not args.data_prefix:
        raise ConfigurationError(
            "it needs the strings of a prepared dataset",
            where=f"--draft {_STRINGS}",
            fix="give --data-prefix PREFIX, of a dataset with a trie or neural view",
        )


def drafting(args: argparse.Namespace) -> Drafting | None:
    """The drafts that the flags name; None without.

    Raises
    ------
    ProxyError
        A dataset that cannot be used, or has no strings.
    """
    if args.draft == NONE:
        return None
    from ..model.generation import Drafting, First, Lookup

    # What the model expects is surer than what followed a few bytes before.
    draft: Draft = Lookup(least=8) if args.draft == _MTP else Lookup()
    if args.draft == _STRINGS:
        draft = First((draft, _strings(args.data_prefix)))
    return Drafting(draft, args.draft_bytes, by_model=args.draft == _MTP)


def _strings(prefix: str) -> Draft:
    from ..compressors.strings.longest_match import LongestMatch
    from ..data.dataset import manifest
    from ..data.dataset.opened import PreparedDataset
    from ..model.generation import Strings

    prepared = PreparedDataset.open(prefix)
    for name in _OF_STRINGS:
        if name in prepared.manifest.compressed:
            compressor = prepared.compressor(name)
            if isinstance(compressor, LongestMatch):
                return Strings(compressor.trie)
    raise ConfigurationError(
        f"{prefix!r} has no {' or '.join(_OF_STRINGS)} view, whose strings are drafted from",
        where="--data-prefix",
        fix=manifest.prepare_command(prefix, _OF_STRINGS[0]),
    )
