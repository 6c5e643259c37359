"""Llama's weights as llama.cpp wants them: other names, and queries and keys in another order.

llama.cpp rotates neighbouring dimensions of a head where transformers rotates the first half with the second: the rows
of the query and key projections are interleaved, and scores stay what they were.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from ..network.architecture import Architecture
from ..network.transformer import stretched

_OUTER: Final = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
}
_INNER: Final = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def renamed(name: str) -> str:
    """The name in a GGUF file of one of ``LlamaForCausalLM``'s weights."""
    part, _, kind = name.rpartition(".")
    if part in _OUTER:
        return f"{_OUTER[part]}.{kind}"
    _, _, number, inner = part.split(".", 3)
    return f"blk.{number}.{_INNER[inner]}.{kind}"


def reordered(name: str, tensor: Tensor, shape: Architecture) -> Tensor:
    """The weight called ``name`` there, its rows interleaved if they make queries or keys."""
    kind = name.rpartition(".")[0].rpartition(".")[2]
    heads = {"attn_q": shape.heads, "attn_k": shape.groups}.get(kind)
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
