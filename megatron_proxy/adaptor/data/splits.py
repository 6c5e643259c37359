"""The shares of splits and blends: what of a run's samples comes from which prefix, and shares that leave nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from megatron.core.datasets.utils import Split

from ...errors import ConfigurationError, DatasetError
from ..run import Run
from .prepared import Prepared


def train_share(current: Run, config: Any, prepared: Prepared) -> float:
    """The share of the run's training samples that come from one prefix; ``config`` is Megatron's, with the blend.

    In a blend with weights it is the normalised weight; without weights it is the prefix's share of all raw bytes.
    """
    blend = config.blend if config.blend_per_split is None else config.blend_per_split[Split.train.value]
    names, weights = blend
    if weights is None:
        weights = [current.by_prefix[name].manifest.raw.units for name in names]
    total = sum(weights)
    return float(weights[list(names).index(prepared.prefix)] / total) if total else 1.0


def check_shares(config: Any) -> None:
    """Refuse shares that add up to nothing, which Megatron divides by.

    Raises
    ------
    ConfigurationError
        For ``--split 0,0,0``.
    """
    shares = [edge for share in getattr(config, "split_matrix", None) or () if share is not None for edge in share]
    if any(math.isnan(edge) for edge in shares):
        raise ConfigurationError("all shares are zero", where="--split", fix="give shares such as --split 98,1,1")


def check_documents(split: Split, documents: int, prepared: Prepared) -> None:
    """Refuse a part that was asked for and got no document.

    Raises
    ------
    DatasetError
        Which part of which prefix.
    """
    if not documents:
        raise DatasetError(
            f"the {split.name} part of {prepared.prefix!r}, {prepared.manifest.documents:,} documents in all, has none",
            where="--split",
            fix="give it a larger share or none (without --split Megatron takes 969,30,1), or a larger corpus",
        )


def check_validation(current: Run, datasets: Sequence[Any]) -> None:
    """Refuse a run that is to be validated on nothing: Megatron would train, and fail where it evaluates.

    Raises
    ------
    ConfigurationError
        With the flags that give validation data, or that turn validation off.
    """
    args = current.args
    if datasets[Split.train.value] is None or datasets[Split.valid.value] is not None:
        return  # This process reads no data at all, or has some to validate on.
    if args.eval_iters or getattr(args, "full_validation", False):
        raise ConfigurationError(
            f"there is no validation data for the {args.eval_iters} iterations of each evaluation",
            where="--eval-iters",
            fix="give validation a share (--split 98,2,0) or data (--valid-data-path), or --eval-iters 0",
        )
