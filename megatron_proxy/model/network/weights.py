"""Megatron's tensors, taken apart for use."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...errors import CheckpointError
from ..checkpoint import Tensors
from .architecture import Architecture


@dataclass(frozen=True)
class Linear:
    """A linear layer: ``weight`` of shape (out, in), and a bias or None."""

    weight: Tensor
    bias: Tensor | None

    def __call__(self, x: Tensor) -> Tensor:
        """``x @ weight.T + bias``."""
        return torch.nn.functional.linear(x, self.weight, self.bias)


@dataclass(frozen=True)
class Norm:
    """The scale (and shift) of a norm; ``scale`` is what is multiplied by, never zero-centred."""

    scale: Tensor
    shift: Tensor | None


@dataclass(frozen=True)
class Layer:
    """One transformer layer; ``qkv`` holds all queries, then all keys, then all values."""

    attention_norm: Norm
    qkv: Linear
    query_norm: Norm | None
    key_norm: Norm | None
    projection: Linear
    mlp_norm: Norm
    up: Linear
    down: Linear


@dataclass(frozen=True)
class Ahead:
    """A layer of multi-token prediction: it goes on from the decoder's output for an id and from the id after it."""

    id_norm: Norm
    output_norm: Norm
    projection: Linear
    layer: Layer
    final_norm: Norm


class WeightReader:
    """Reads Megatron's names as parts of a model, onto a device and in one dtype."""

    def __init__(
        self, source: Tensors, architecture: Architecture, device: torch.device | str, dtype: torch.dtype
    ) -> None:
        self._source = source
        self._architecture = architecture
        self._to = {"device": device, "dtype": dtype}

    def tensor(self, name: str) -> Tensor:
        """One tensor.

        Raises
        ------
        CheckpointError
            If the checkpoint does not have it.
        """
        if name not in self._source.shapes:
            raise CheckpointError(f"the checkpoint has no tensor {name!r}: its model has another architecture")
        return self._source.read(name).to(**self._to)  # type: ignore[call-overload, no-any-return]

    def linear(self, name: str, bias: bool) -> Linear:
        """A linear layer."""
        return Linear(self.tensor(f"{name}.weight"), self.tensor(f"{name}.bias") if bias else None)

    def norm(self, prefix: str) -> Norm:
        """A norm whose tensors are ``<prefix>weight`` and, for LayerNorm, ``<prefix>bias``."""
        scale = self.tensor(f"{prefix}weight")
        shift = self.tensor(f"{prefix}bias") if self._architecture.norm == "LayerNorm" else None
        return Norm(scale + 1 if self._architecture.zero_centered_norm else scale, shift)

    def ahead(self) -> Ahead:
        """The first layer of multi-token prediction."""
        prefix = "mtp.layers.0."
        return Ahead(
            id_norm=self.norm(f"{prefix}enorm."),
            output_norm=self.norm(f"{prefix}hnorm."),
            projection=self.linear(f"{prefix}eh_proj", bias=False),
            layer=self.layer(f"{prefix}transformer_layer."),
            final_norm=self.norm(f"{prefix}final_layernorm."),
        )

    def layer(self, prefix: str) -> Layer:
        """One transformer layer."""
        shape = self._architecture
        attention, mlp = f"{prefix}self_attention.", f"{prefix}mlp."
        return Layer(
            attention_norm=self.norm(f"{attention}linear_qkv.layer_norm_"),
            qkv=self.sorted_qkv(self.linear(f"{attention}linear_qkv", shape.qkv_bias)),
            query_norm=self.norm(f"{attention}q_layernorm.") if shape.qk_norm else None,
            key_norm=self.norm(f"{attention}k_layernorm.") if shape.qk_norm else None,
            projection=self.linear(f"{attention}linear_proj", shape.linear_bias),
            mlp_norm=self.norm(f"{mlp}linear_fc1.layer_norm_"),
            up=self.linear(f"{mlp}linear_fc1", shape.linear_bias),
            down=self.linear(f"{mlp}linear_fc2", shape.linear_bias),
        )

    def sorted_qkv(self, mixed: Linear) -> Linear:
        """Megatron's query-key-value layer, sorted by kind.

        Megatron keeps for each group its queries, then its key, then its value; sorted, all queries come first.
        """
        weight = sort_qkv(mixed.weight, self._architecture)
        return Linear(weight, None if mixed.bias is None else sort_qkv(mixed.bias, self._architecture))


def sort_qkv(mixed: Tensor, shape: Architecture) -> Tensor:
    """All queries, then all keys, then all values, from Megatron's order by group.

    ``mixed`` has the shape (groups * (heads / groups + 2) * head_dim, …).
    """
    queries = shape.heads // shape.groups * shape.head_dim
    grouped = mixed.reshape(shape.groups, queries + 2 * shape.head_dim, *mixed.shape[1:])
    parts = torch.split(grouped, [queries, shape.head_dim, shape.head_dim], dim=1)
    return torch.cat([part.flatten(0, 1) for part in parts])


def unsort_qkv(sorted_rows: Tensor, shape: Architecture) -> Tensor:
    """Megatron's order by group, from all queries, then all keys, then all values: undoes :func:`sort_qkv`."""
    sizes = [size * shape.head_dim for size in (shape.heads, shape.groups, shape.groups)]
    parts = [part.reshape(shape.groups, -1, *part.shape[1:]) for part in torch.split(sorted_rows, sizes)]
    return torch.cat(parts, dim=1).flatten(0, 1)
