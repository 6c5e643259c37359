"""Megatron's weights under the names of transformers, cut to the ids of one view.

Reordering and folding are exact: the logits on what is left stay what they were.

* A format embedding is added to the ids that stand inside the view.
* Norms that store their scale minus one get the one added.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import torch
from torch import Tensor

from ..checkpoint import Tensors
from ..network.architecture import Architecture
from ..network.weights import WeightReader
from .families import Family
from .megatron_weights import EMBEDDING, FINAL_NORM, OUTPUT
from .views import ExportedView

_WORDS: Final = "embedding.word_embeddings.weight"


@dataclass
class HfWeights:
    """The weights under the names of transformers in one dtype, made one Megatron tensor at a time."""

    source: Tensors
    shape: Architecture
    family: Family
    view: ExportedView
    dtype: torch.dtype

    def __post_init__(self) -> None:
        # Sums are taken in float32 before they are rounded once.
        self._reader = WeightReader(self.source, self.shape, "cpu", torch.float32)

    @cached_property
    def tied(self) -> bool:
        """Whether the output layer is the embedding, as it is in Megatron's model.

        Folding the format embedding changes the words that are read, not those that are written. And one token may
        both open and close texts: what was learned of the two is kept apart if they differ.
        """
        if not self.shape.tied or self.shape.formats:
            return False
        read, written = self.view.read, self.view.written
        differing = read != written
        if not differing.any():
            return True
        words = self._reader.tensor(_WORDS)
        return torch.equal(words[read[differing]], words[written[differing]])

    def __iter__(self) -> Iterator[tuple[str, Tensor]]:
        """Name and tensor, in the order of the forward pass."""
        for name, tensor in self._all():
            yield name, tensor.to(self.dtype).contiguous()

    def _all(self) -> Iterator[tuple[str, Tensor]]:
        yield EMBEDDING, self._words()
        for number in range(self.shape.layers):
            # A loop here would hold the last tensor of all.
            yield from ((f"model.layers.{number}.{name}", tensor) for name, tensor in self._layer(number))
        yield FINAL_NORM, self._reader.norm("decoder.final_layernorm.").scale
        if not self.tied:
            yield OUTPUT, self._reader.tensor(_WORDS if self.shape.tied else "output_layer.weight")[self.view.written]

    def _words(self) -> Tensor:
        words = self._reader.tensor(_WORDS)[self.view.read]
        if self.shape.formats:
            words[self.view.inside] += self._reader.tensor("embedding.tokentype_embeddings.weight")[self.view.format]
        return words

    def _layer(self, number: int) -> Iterator[tuple[str, Tensor]]:
        for part, names in self.family.layer.items():
            prefix = f"decoder.layers.{number}.{part}"
            if part.endswith("weight"):
                yield f"{names[0]}.weight", self._reader.norm(prefix.removesuffix("weight")).scale
            else:
                yield from self._linear(prefix, names)

    def _linear(self, prefix: str, names: tuple[str, ...]) -> Iterator[tuple[str, Tensor]]:
        """A linear layer of Megatron's as those that it holds one above the other."""
        shape = self.shape
        if prefix.endswith("linear_qkv"):
            mixed = self._reader.sorted_qkv(self._reader.linear(prefix, shape.qkv_bias))
            sizes = [heads * shape.head_dim for heads in (shape.heads, shape.groups, shape.groups)]
        else:
            mixed = self._reader.linear(prefix, shape.linear_bias)
            sizes = [mixed.weight.shape[0] // len(names)] * len(names)
        for kind, values in (("weight", mixed.weight), ("bias", mixed.bias)):
            if values is not None:
                for name, part in zip(names, torch.split(values, sizes), strict=True):
                    yield f"{name}.{kind}", part
