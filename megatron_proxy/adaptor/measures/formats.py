"""Which view an id belongs to, told from the ids of a window alone.

Literal bytes in a compressed view have the ids of raw bytes, so an id alone does not tell; the specials around it do.
Specials cut a window into stretches. A stretch belongs to the view that its opening sentinel names, else to the one
that its closing sentinel names (a window may begin inside a view). Without either (mode ``vanilla``) a stretch that
holds a symbol is compressed, any other raw.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...vocab import COMPRESSED_CLOSE, COMPRESSED_OPEN, NUM_SPECIALS, RAW_CLOSE, RAW_OPEN, SYMBOL_OFFSET


def is_compressed(ids: Tensor) -> Tensor:
    """Which ids belong to a compressed view.

    Parameters
    ----------
    ids
        Integers, shape (…, length): whole windows along the last dimension.

    Returns
    -------
    bool, the same shape; meaningless at specials.
    """
    # Read from both ends at once: small windows cost launches, not work.
    both = torch.stack([ids, ids.flip(-1)])
    places = _places(ids)
    special = _last(both < NUM_SPECIALS, places + both)
    symbol = _last(both >= SYMBOL_OFFSET, places)
    opener, closer = _from_both_ends(special % NUM_SPECIALS)
    before, after = _from_both_ends(symbol > special)
    by_closer = (closer == COMPRESSED_CLOSE) | ((closer != RAW_CLOSE) & (before | after))
    return (opener == COMPRESSED_OPEN) | ((opener != RAW_OPEN) & by_closer)


def opened_format(ids: Tensor, *, beheaded: bool = True) -> Tensor:
    """The format that the specials up to and including each id have opened.

    A window begins with a special, so nothing after an id decides on its format. Only where that first special is gone
    (multi-token prediction shifts the window to the left) do the ids before the next special follow the rule of
    :func:`is_compressed`, which finds the format that the special had told.

    Parameters
    ----------
    ids
        As for :func:`is_compressed`.
    beheaded
        Whether a window's first special may be gone. Without this, what no special tells is outside.

    Returns
    -------
    int64, the shape of ``ids``: 0 outside a view, 1 in a raw, 2 in a compressed one. The sentinel that opens a view is
    in it, the one that closes it is not.
    """
    special = _last(ids < NUM_SPECIALS, _places(ids) + ids)
    opener = special % NUM_SPECIALS
    told = (opener == RAW_OPEN) + 2 * (opener == COMPRESSED_OPEN)
    return torch.where(special == 0, 1 + is_compressed(ids), told) if beheaded else told


def _places(ids: Tensor) -> Tensor:
    """Numbers above 0 that rise along a window and leave room for a special: a place and its special are one number."""
    end = (ids.shape[-1] + 1) * NUM_SPECIALS
    return torch.arange(NUM_SPECIALS, end, NUM_SPECIALS, dtype=ids.dtype, device=ids.device)


def _last(wanted: Tensor, numbers: Tensor) -> Tensor:
    """The number of the last wanted id at or before each place; 0 if there is none, with the remainder of a pad."""
    # A product, as `where` with a number would launch one kernel more.
    return (wanted * numbers).cummax(dim=-1).values


def _from_both_ends(both: Tensor) -> tuple[Tensor, Tensor]:
    """What was found reading forwards and reading backwards, each in the order of the ids."""
    forwards, backwards = both.unbind()
    return forwards, backwards.flip(-1)
