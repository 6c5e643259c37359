"""What each split mixes: the schedule in training, fixed views in validation and test, and each dataset's horizon."""

from __future__ import annotations

from typing import Any, NamedTuple

from megatron.core.datasets.utils import Split

from ..schedule import Schedule
from .prepared import Prepared
from .run import Run


class Mix(NamedTuple):
    """The schedule of one dataset, its horizon in that dataset's own samples, and its shuffle block."""

    schedule: Schedule
    horizon_samples: int
    block: int | None


def mix(current: Run, split: Split, config: Any, prepared: Prepared) -> Mix:
    """How one dataset of one split is mixed.

    Parameters
    ----------
    current
        The run.
    split
        Train, valid or test.
    config
        Megatron's GPTDatasetConfig, which knows the blend.
    prepared
        The dataset's prefix.
    """
    if split is not Split.train:
        # One block per sample: what is measured stays in the order of its documents' draws.
        return Mix(current.settings.validation_schedule(), 1, 1)
    share = train_share(current, config, prepared)
    horizon = max(1, round(current.settings.horizon_samples * share))
    return Mix(current.settings.schedule, horizon, current.settings.shuffle_block)


def train_share(current: Run, config: Any, prepared: Prepared) -> float:
    """The share of the run's training samples that come from one prefix.

    In a blend with weights it is the normalised weight; without weights it is the prefix's share of all raw bytes.
    """
    blend = config.blend if config.blend_per_split is None else config.blend_per_split[Split.train.value]
    names, weights = blend
    if weights is None:
        weights = [current.prefix(name).manifest.raw.units for name in names]
    total = sum(weights)
    return float(weights[list(names).index(prepared.prefix)] / total) if total else 1.0
