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
    before, after = _specials_around(ids)
    opener, closer = _at(ids, before), _at(ids, after)
    opens_raw, opens_compressed = opener == RAW_OPEN, opener == COMPRESSED_OPEN
    closes_raw, closes_compressed = closer == RAW_CLOSE, closer == COMPRESSED_CLOSE
    by_closer = closes_compressed | (~closes_raw & _holds_symbol(ids, before, after))
    return opens_compressed | (~opens_raw & by_closer)


def opened_format(ids: Tensor) -> Tensor:
    """The format that the specials up to and including each id have opened.

    A window begins with a special, so nothing after an id decides on its format. Only where that first special is gone
    (multi-token prediction shifts the window to the left) do the ids before the next special follow the rule of
    :func:`is_compressed`, which finds the format that the special had told.

    Returns
    -------
    int64, the shape of ``ids``: 0 outside a view, 1 in a raw, 2 in a compressed one. The sentinel that opens a view is
    in it, the one that closes it is not.
    """
    before, _ = _specials_around(ids)
    opener = _at(ids, before)
    told = (opener == RAW_OPEN).long() + 2 * (opener == COMPRESSED_OPEN).long()
    return torch.where(before < 0, 1 + is_compressed(ids).long(), told)


def _specials_around(ids: Tensor) -> tuple[Tensor, Tensor]:
    """Where the last special at or before each id is (-1: none), and the next one after it (length: none)."""
    length = ids.shape[-1]
    special = ids < NUM_SPECIALS
    places = torch.arange(length, device=ids.device).expand_as(ids)
    before = torch.where(special, places, -1).cummax(dim=-1).values
    at_or_after = torch.where(special, places, length).flip(-1).cummin(dim=-1).values.flip(-1)
    after = torch.nn.functional.pad(at_or_after[..., 1:], (0, 1), value=length)
    return before, after


def _at(ids: Tensor, places: Tensor) -> Tensor:
    """The ids at some places; 0 (no sentinel) where a place is outside."""
    inside = (places >= 0) & (places < ids.shape[-1])
    return torch.where(inside, ids.gather(-1, places.clamp(0, ids.shape[-1] - 1)), 0)


def _holds_symbol(ids: Tensor, before: Tensor, after: Tensor) -> Tensor:
    """Whether there is a symbol between the specials around each id."""
    counts = torch.nn.functional.pad((ids >= SYMBOL_OFFSET).long().cumsum(dim=-1), (1, 0))
    return counts.gather(-1, after) > counts.gather(-1, before + 1)
