"""At the first step: what the hooks should have swapped was really swapped, and what they should measure was there."""

from __future__ import annotations

from typing import Any

from ...errors import UnsupportedError
from .. import embedding
from ..measures.losses import Meter
from ..run import Run
from ..tokenizer import ProxyTokenizer


def check_once(current: Run, model: Any) -> None:
    """Check tokenizer, dataset and embedding before the first forward pass.

    Raises
    ------
    UnsupportedError
        If the script went past one of the hooks.
    """
    if current.checked:
        return
    from megatron.core import mpu
    from megatron.training import get_tokenizer

    _require(isinstance(get_tokenizer(), ProxyTokenizer), "tokenizer", "build_tokenizer")
    _require(current.datasets_swapped, "dataset", "BlendedMegatronDatasetBuilder with GPTDataset")
    if current.settings.format_embedding and mpu.is_pipeline_first_stage(ignore_virtual=True):
        chunks = model if isinstance(model, list) else [model]
        _require(any(map(embedding.is_swapped, chunks)), "embedding", "LanguageModelEmbedding in a GPT or hybrid model")
    current.checked = True


def check_measured(meter: Meter) -> None:
    """Check after a forward pass that the last pipeline stage saw labels.

    Raises
    ------
    UnsupportedError
        If there would never be any bits per byte.
    """
    from megatron.core import mpu

    if not meter.measured and mpu.is_pipeline_last_stage(ignore_virtual=True):
        raise UnsupportedError(
            "this script gives its model no labels, from which the losses of each view are told",
            where="--proxy-compression",
            fix="call the model with its labels in forward_step, as Megatron's own pretraining scripts do",
        )


def _require(swapped: bool, what: str, where: str) -> None:
    if not swapped:
        raise UnsupportedError(
            f"this script's {what} was not swapped: it does not use Megatron's {where}",
            where="--proxy-compression",
            fix="use one of Megatron's own pretraining scripts, or a fork of one",
        )
