"""The files of a Hugging Face folder.

They are written into a folder beside the wanted one, which takes its name at the end: a folder that is there is whole.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor

from ...common import readable_json
from ...common.storage.files import replacing, require_free
from ..network import Architecture
from . import card, families
from .folder import CONFIG, INDEX, WEIGHTS
from .hf_weights import HfWeights
from .shape import config
from .views import ExportedView, raw_view

if TYPE_CHECKING:
    from ..checkpoint import Checkpoint

DEFAULT_SHARD_BYTES: Final = 5_000_000_000


def export(
    checkpoint: Checkpoint,
    folder: Path,
    *,
    dtype: torch.dtype | None = None,
    shard_bytes: int = DEFAULT_SHARD_BYTES,
    overwrite: bool = False,
    evaluations: Sequence[card.Evaluated] = (),
    view: ExportedView | None = None,
) -> None:
    """Write a checkpoint as a Hugging Face folder.

    Never more than one tensor of Megatron's and one shard are in memory.

    Parameters
    ----------
    checkpoint
        What to export.
    folder
        Where to.
    dtype
        What to store; by default what the checkpoint stores.
    shard_bytes
        Most bytes of tensors in one file.
    overwrite
        Whether an existing folder is replaced, with all that is in it.
    evaluations
        Figures of this checkpoint, for the model card.
    view
        The ids that the folder's model has; by default those of raw bytes.

    Raises
    ------
    UnsupportedError
        If no architecture of transformers that is known here can express the model.
    ConfigurationError
        If the folder exists, a shard is too small for a tensor, or figures are of another iteration.
    """
    require_free(folder, overwrite=overwrite)
    shape = Architecture.from_args(checkpoint.args)
    family = families.of_shape(shape)
    card.check_iterations(evaluations, checkpoint.iteration)
    dtype = dtype or checkpoint.dtype
    view = view or raw_view(checkpoint.sentinels)
    weights = HfWeights(checkpoint.tensors, shape, family, view, dtype)
    with replacing(folder) as beside:
        _write_shards(beside, weights, shard_bytes)
        told = config(shape, family, dtype, vocabulary=view.size, tied=weights.tied, special=view.special)
        (beside / CONFIG).write_bytes(readable_json.file(told))
        view.write_tokenizer(beside, shape.context)
        (beside / "proxy_export.json").write_bytes(readable_json.file(_origin(checkpoint, view)))
        page = card.model_card(folder.resolve().name, checkpoint, shape, told, evaluations, view)
        (beside / "README.md").write_text(page, encoding="utf-8", errors="replace")


def _origin(checkpoint: Checkpoint, view: ExportedView) -> dict[str, object]:
    return {
        "made_by": "megatron-proxy export",
        "checkpoint": checkpoint.folder.name,
        "iteration": checkpoint.iteration,
        "proxy_compression": checkpoint.args.proxy_compression,
        "view": view.name,
    }


def _write_shards(folder: Path, weights: HfWeights, limit: int) -> None:
    from safetensors.torch import save_file

    places: dict[str, int] = {}
    total = count = 0
    for shard in _shards(weights, limit):
        count += 1
        places |= dict.fromkeys(shard, count)
        total += sum(tensor.nbytes for tensor in shard.values())
        save_file(shard, folder / _part(count, 0), metadata={"format": "pt"})
        # safetensors makes files that only their owner can read.
        (folder / _part(count, 0)).chmod(0o644)
    if count == 1:
        os.replace(folder / _part(1, 0), folder / WEIGHTS)
        return
    # How many shards there are is known only now.
    for number in range(1, count + 1):
        os.replace(folder / _part(number, 0), folder / _part(number, count))
    weight_map = {name: _part(number, count) for name, number in places.items()}
    (folder / INDEX).write_bytes(readable_json.file({"metadata": {"total_size": total}, "weight_map": weight_map}))


def _part(number: int, count: int) -> str:
    return f"model-{number:05d}-of-{count:05d}.safetensors"


def _shards(weights: HfWeights, limit: int) -> Iterator[dict[str, Tensor]]:
    """Tensors in order, as many at once as fit; one that is larger than the limit comes alone."""
    shard: dict[str, Tensor] = {}
    size = 0
    for name, tensor in weights:
        if shard and size + tensor.nbytes > limit:
            yield shard
            shard, size = {}, 0
        # A view would keep the whole of Megatron's tensor alive, and safetensors refuses shared memory.
        shard[name] = tensor.clone()
        size += tensor.nbytes
    yield shard
