"""Llama's weights as llama.cpp wants them: queries and keys in another order, stretched positions as a weight.

llama.cpp rotates neighbouring dimensions of a head where transformers rotates the first half with the second: the rows
of the query and key projections are interleaved, and scores stay what they were.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..network.architecture import Architecture
from ..network.transformer import stretched


def reordered(name: str, tensor: Tensor, shape: Architecture) -> Tensor:
    """The weight that ``LlamaForCausalLM`` calls ``name``, its rows interleaved if they make queries or keys."""
    heads = {"q_proj": shape.heads, "k_proj": shape.groups}.get(name.split(".")[-2])
    if heads is None:
        return tensor
    halves = tensor.reshape(heads, 2, shape.head_dim // 2, *tensor.shape[1:])
    return halves.transpose(1, 2).reshape(tensor.shape)


def rope_factors(shape: Architecture) -> Tensor | None:
    """By how much the wavelengths of positions are stretched: float32, shape (dimensions / 2,); None if by nothing."""
    if shape.rope is None or shape.rope.stretch is None:
        return None
    dimensions = shape.rope.dimensions
    frequencies = shape.rope.base ** -(torch.arange(0, dimensions, 2, dtype=torch.float64) / dimensions)
    return (frequencies / stretched(frequencies, shape.rope.stretch)).float()
