"""Checkpoints in Megatron's older format, ``torch``: one file per tensor- and pipeline-parallel rank.

The pieces of the tensor-parallel ranks are put together by Megatron's rules: columns of ``linear_qkv`` and
``linear_fc1``, rows of ``linear_proj`` and ``linear_fc2``, ids of the embedding and of the output layer.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any, Final

import torch

from ...errors import CheckpointError, UnsupportedError
from .safety import load_safely, training_args

_FILE: Final = "model_optim_rng.pt"
_RANK: Final = re.compile(r"mp_rank_(\d{2})(?:_(\d{3}))?")
_SPLIT: Final = (
    (re.compile(r"(word_embeddings|output_layer|linear_qkv)\.(weight|bias)$"), 0),
    (re.compile(r"(linear_fc1|eh_proj)\.(weight|bias)$"), 0),
    (re.compile(r"(linear_proj|linear_fc2)\.weight$"), 1),
)
# The local layers keep their norms apart, Transformer Engine's in the linear layer that follows; what multi-token
# prediction calls its layer here has an older name in the other format.
_RENAMED: Final = (
    (".input_layernorm.", ".self_attention.linear_qkv.layer_norm_"),
    (".pre_mlp_layernorm.", ".mlp.linear_fc1.layer_norm_"),
    (".mtp_model_layer.", ".transformer_layer."),
)


def is_one(folder: Path) -> bool:
    """Whether a folder holds such a checkpoint."""
    return any(folder.glob(f"mp_rank_*/{_FILE}"))


def read_common(folder: Path) -> Any:
    """What the folder of one iteration holds beside the model: training arguments, iteration, schedule of rates.

    Raises
    ------
    CheckpointError
        A damaged file.
    """
    path = min(folder.glob(f"mp_rank_*/{_FILE}"))
    return load_safely(path, str(path), mmap=True)


class LegacyTensors:
    """The weights and training arguments in one folder; the files are mapped into memory, not read.

    Raises
    ------
    CheckpointError
        A damaged or half-written checkpoint.
    UnsupportedError
        Expert or interleaved pipeline parallelism, or uneven pipeline stages.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        ranks = _rank_files(folder)
        states = {rank: load_safely(path, str(path), mmap=True) for rank, path in ranks.items()}
        self.args = training_args(states[0, 0], folder)
        self._gated = bool(getattr(self.args, "swiglu", False) or getattr(self.args, "quick_geglu", False))
        stages = 1 + max(stage for _, stage in states)
        tensor_parallel = 1 + max(rank for rank, _ in states)
        if len(states) != stages * tensor_parallel or tensor_parallel != self.args.tensor_model_parallel_size:
            raise CheckpointError("the checkpoint is half-written: files of some ranks are missing", where=str(folder))
        self._pieces: dict[str, list[torch.Tensor]] = {}
        per_stage = _layers_per_stage(self.args, stages)
        for stage in range(stages):
            for rank in range(tensor_parallel):
                for name, tensor in _model(states[rank, stage], folder).items():
                    if isinstance(tensor, torch.Tensor) and not name.endswith("_extra_state"):
                        self._pieces.setdefault(global_name(name, stage * per_stage), []).append(tensor)
        self._pieces = {name: pieces[-tensor_parallel:] for name, pieces in self._pieces.items()}
        self.shapes = {name: tuple(self._shape(name)) for name in self._pieces}

    def _shape(self, name: str) -> list[int]:
        pieces = self._pieces[name]
        shape = list(pieces[0].shape)
        if (dimension := _split_dimension(name)) is not None:
            shape[dimension] = sum(piece.shape[dimension] for piece in pieces)
        return shape

    def read(self, name: str) -> torch.Tensor:
        """One whole tensor, put together from the pieces of the tensor-parallel ranks."""
        pieces = self._pieces[name]
        dimension = _split_dimension(name)
        if dimension is None or len(pieces) == 1:
            return pieces[0]
        if self._gated and ".linear_fc1." in name:
            # Each rank holds its part of the gate above its part of the rest.
            halves = zip(*(piece.chunk(2, dim=0) for piece in pieces), strict=True)
            return torch.cat([torch.cat(half) for half in halves])
        return torch.cat(pieces, dim=dimension)


def _rank_files(folder: Path) -> dict[tuple[int, int], Path]:
    """The files by tensor- and pipeline-parallel rank."""
    found = {}
    for path in folder.glob(f"mp_rank_*/{_FILE}"):
        match = _RANK.fullmatch(path.parent.name)
        if match is None:
            raise UnsupportedError(
                "checkpoints of expert-parallel runs in the format 'torch' are not read here",
                where=str(path.parent),
                fix="save in the format torch_dist",
            )
        found[int(match[1]), int(match[2] or 0)] = path
    if (0, 0) not in found:
        raise CheckpointError("the checkpoint is half-written: rank 0 is missing", where=str(folder))
    return found


def _model(state: dict[str, Any], folder: Path) -> dict[str, Any]:
    if "model" not in state:
        raise UnsupportedError(
            "checkpoints of interleaved pipelines in the format 'torch' are not read here",
            where=str(folder),
            fix="save in the format torch_dist",
        )
    return dict(state["model"])


def _layers_per_stage(args: argparse.Namespace, stages: int) -> int:
    uneven = ("decoder_first_pipeline_num_layers", "decoder_last_pipeline_num_layers", "pipeline_model_parallel_layout")
    for name in uneven:
        if stages > 1 and getattr(args, name, None) is not None:
            raise UnsupportedError(
                "uneven pipeline stages in the format 'torch' are not read here",
                where=f"--{name.replace('_', '-')}",
                fix="save in the format torch_dist",
            )
    return int(args.num_layers) // stages


def global_name(name: str, first_layer: int) -> str:
    """Megatron's global name of a tensor of a pipeline stage whose first layer has this number."""
    match = re.match(r"decoder\.layers\.(\d+)\.(.*)", name)
    if match:
        name = f"decoder.layers.{int(match[1]) + first_layer}.{match[2]}"
    for local, fused in _RENAMED:
        name = name.replace(local, fused)
    return name


def _split_dimension(name: str) -> int | None:
    """The dimension along which tensor-parallel ranks share a tensor; None if each has all of it."""
    return next((dimension for pattern, dimension in _SPLIT if pattern.search(name)), None)
