"""Models with random weights, under Megatron's names."""

from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from megatron_proxy.model.checkpoint import Checkpoint
from megatron_proxy.model.network import Architecture, ByteModel
from megatron_proxy.model.network.architecture import Rope

LLAMA = Architecture(
    layers=2,
    hidden=24,
    heads=4,
    groups=2,
    head_dim=8,
    ffn=40,
    vocabulary=330,
    context=32,
    norm="RMSNorm",
    norm_epsilon=1e-5,
    zero_centered_norm=False,
    activation="silu",
    gated=True,
    linear_bias=False,
    qkv_bias=False,
    tied=False,
    rope=Rope(8, 10000.0),
    learned_positions=False,
    qk_norm=False,
    formats=False,
)


@dataclass
class RandomTensors:
    """All tensors that an architecture can have, drawn from a seed by name."""

    shapes: dict[str, tuple[int, ...]]
    scale: float = 0.3

    def read(self, name: str) -> torch.Tensor:
        generator = torch.Generator().manual_seed(sum(map(ord, name)))
        return torch.randn(self.shapes[name], generator=generator) * self.scale + ("norm" in name and "weight" in name)


def tensors(shape: Architecture) -> RandomTensors:
    qkv = (shape.heads + 2 * shape.groups) * shape.head_dim
    shapes: dict[str, tuple[int, ...]] = {
        "embedding.word_embeddings.weight": (shape.vocabulary, shape.hidden),
        "embedding.position_embeddings.weight": (shape.context, shape.hidden),
        "embedding.tokentype_embeddings.weight": (3, shape.hidden),
        "decoder.final_layernorm.weight": (shape.hidden,),
        "decoder.final_layernorm.bias": (shape.hidden,),
        "output_layer.weight": (shape.vocabulary, shape.hidden),
    }
    linear = {
        "self_attention.linear_qkv": (qkv, shape.hidden),
        "self_attention.linear_proj": (shape.hidden, shape.heads * shape.head_dim),
        "mlp.linear_fc1": (shape.ffn * (2 if shape.gated else 1), shape.hidden),
        "mlp.linear_fc2": (shape.hidden, shape.ffn),
    }
    layers = [f"decoder.layers.{layer}." for layer in range(shape.layers)]
    if shape.looks_ahead:
        ahead = "mtp.layers.0."
        layers.append(f"{ahead}transformer_layer.")
        shapes[f"{ahead}eh_proj.weight"] = (shape.hidden, 2 * shape.hidden)
        for name in ("enorm", "hnorm", "final_layernorm"):
            shapes[f"{ahead}{name}.weight"], shapes[f"{ahead}{name}.bias"] = (shape.hidden,), (shape.hidden,)
    for prefix in layers:
        for name, size in linear.items():
            shapes[f"{prefix}{name}.weight"], shapes[f"{prefix}{name}.bias"] = size, size[:1]
        for name in ("self_attention.linear_qkv", "mlp.linear_fc1"):
            for kind in ("weight", "bias"):
                shapes[f"{prefix}{name}.layer_norm_{kind}"] = (shape.hidden,)
        for name in ("q_layernorm", "k_layernorm"):
            for kind in ("weight", "bias"):
                shapes[f"{prefix}self_attention.{name}.{kind}"] = (shape.head_dim,)
    return RandomTensors(shapes)


def model(shape: Architecture = LLAMA, dtype: torch.dtype = torch.float64) -> ByteModel:
    """In float64, so that a difference is a mistake and not rounding."""
    return ByteModel(shape, tensors(shape), dtype=dtype)


def args(shape: Architecture = LLAMA, **others: Any) -> Namespace:
    """The arguments that Megatron would have been run with."""
    rope, window = shape.rope, shape.window
    positions = "rope" if rope else "learned_absolute" if shape.learned_positions else "none"
    found = {
        "num_layers": shape.layers,
        "hidden_size": shape.hidden,
        "num_attention_heads": shape.heads,
        "group_query_attention": shape.groups != shape.heads,
        "num_query_groups": shape.groups,
        "kv_channels": shape.head_dim,
        "ffn_hidden_size": shape.ffn,
        "padded_vocab_size": shape.vocabulary,
        "seq_length": shape.context,
        "max_position_embeddings": shape.context,
        "normalization": shape.norm,
        "layernorm_epsilon": shape.norm_epsilon,
        "layernorm_zero_centered_gamma": shape.zero_centered_norm,
        "swiglu": shape.gated,
        "squared_relu": shape.activation == "squared_relu",
        "openai_gelu": shape.activation == "gelu_tanh",
        "add_bias_linear": shape.linear_bias,
        "add_qkv_bias": shape.qkv_bias,
        "untie_embeddings_and_output_weights": not shape.tied,
        "position_embedding_type": positions,
        "rotary_base": rope and rope.base,
        "rotary_percent": rope and rope.dimensions / shape.head_dim,
        "rotary_interleaved": rope and rope.interleaved,
        "use_rope_scaling": rope and rope.stretch is not None,
        "rope_scaling_factor": (rope and rope.stretch) or 8.0,
        "qk_layernorm": shape.qk_norm,
        "proxy_format_embedding": shape.formats,
        "window_size": window and (window - 1, 0),
        "mtp_num_layers": 1 if shape.looks_ahead else None,
    }
    return Namespace(**found | others)


def checkpoint(
    shape: Architecture = LLAMA, weights: Any = None, iteration: int | None = 1, **others: Any
) -> Checkpoint:
    """As if read from a folder; trained in the mode ``sentinel`` with zstd unless ``others`` says otherwise."""
    trained = {"proxy_compression": "zstd", "proxy_mode": "sentinel", "proxy_final_mode": None} | others
    folder = Path("release" if iteration is None else f"iter_{iteration:07d}")
    return Checkpoint(folder, iteration, args(shape, **trained), weights or tensors(shape))
