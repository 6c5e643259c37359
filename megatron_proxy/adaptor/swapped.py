"""At the first step: what the hooks should have swapped was really swapped."""

from __future__ import annotations

from typing import Any

from ..errors import UnsupportedError
from . import embedding
from .run import Run
from .tokenizer import ProxyTokenizer


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


def _require(swapped: bool, what: str, where: str) -> None:
    if not swapped:
        raise UnsupportedError(
            f"this script's {what} was not swapped: it does not use Megatron's {where}",
            where="--proxy-compression",
            fix="use one of Megatron's own pretraining scripts, or a fork of one",
        )
