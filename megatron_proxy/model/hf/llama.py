"""Megatron's weights as those of ``LlamaForCausalLM``, cut to specials and bytes.

Reordering and folding are exact: the logits on specials and bytes stay what they were.

* A format embedding is added to the ids that stand inside a raw view: ``<raw>`` and the bytes.
* Norms that store their scale minus one get the one added.
* A bias that only the query-key-value projection has comes with a bias of zeros where Llama wants one too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

from ...errors import UnsupportedError
from ...vocab import BYTE_OFFSET, EOS, PAD, RAW_CLOSE, RAW_OPEN, SYMBOL_OFFSET
from ..network.architecture import Architecture
from ..network.transformer import LLAMA3_SCALING
from ..network.weights import Reader, Source

_RAW_FORMAT: Final = 1


def check(shape: Architecture) -> None:
    """Refuse what Llama has no place for.

    Raises
    ------
    UnsupportedError
        Naming the first flag of training that is at fault.
    """
    problems = {
        "--normalization LayerNorm": shape.norm != "RMSNorm",
        "--position-embedding-type": shape.rope is None,
        "--rotary-percent": shape.rope is not None and shape.rope.dimensions != shape.head_dim,
        "--rotary-interleaved": shape.rope is not None and shape.rope.interleaved,
        "--swiglu (missing)": not (shape.gated and shape.activation == "silu"),
        "--qk-layernorm": shape.qk_norm,
    }
    for flag, given in problems.items():
        if given:
            raise UnsupportedError(
                "the model was trained so, and Llama cannot express it",
                where=flag,
                fix="for export, train with --position-embedding-type rope --normalization RMSNorm --swiglu",
            )


def config(shape: Architecture, dtype: torch.dtype, *, sentinels: bool) -> dict[str, Any]:
    """``config.json``, readable by releases 4 and 5 of transformers."""
    rope: dict[str, Any] = {"rope_type": "default"}
    if shape.rope is not None and shape.rope.llama3:
        factor, low, high, trained = LLAMA3_SCALING
        rope = {
            "rope_type": "llama3",
            "factor": factor,
            "low_freq_factor": low,
            "high_freq_factor": high,
            "original_max_position_embeddings": trained,
        }
    base = shape.rope.base if shape.rope is not None else 10000.0
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": SYMBOL_OFFSET,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.ffn,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.groups,
        "head_dim": shape.head_dim,
        "hidden_act": "silu",
        "max_position_embeddings": shape.context,
        "rms_norm_eps": shape.norm_epsilon,
        "rope_theta": base,
        "rope_scaling": None if rope["rope_type"] == "default" else rope,
        "rope_parameters": {"rope_theta": base, **rope},
        "attention_bias": shape.qkv_bias,
        "mlp_bias": shape.linear_bias,
        "tie_word_embeddings": _tied(shape),
        "torch_dtype": str(dtype).removeprefix("torch."),
        "bos_token_id": RAW_OPEN if sentinels else EOS,
        "eos_token_id": [RAW_CLOSE, EOS] if sentinels else EOS,
        "pad_token_id": PAD,
    }


def _tied(shape: Architecture) -> bool:
    # Folding the format embedding changes the words that are read, not those that are written.
    return shape.tied and not shape.formats


@dataclass
class LlamaWeights:
    """The weights under Llama's names, made one Megatron tensor at a time.

    Parameters
    ----------
    source
        Megatron's weights.
    shape
        The model's architecture.
    dtype
        What to store.
    """

    source: Source
    shape: Architecture
    dtype: torch.dtype

    def __post_init__(self) -> None:
        # Sums are taken in float32 before they are rounded once.
        self._reader = Reader(self.source, self.shape, "cpu", torch.float32)

    def __iter__(self) -> Iterator[tuple[str, Tensor]]:
        """Name and tensor, in the order of the forward pass."""
        for name, tensor in self._all():
            yield name, tensor.to(self.dtype).contiguous()

    def _all(self) -> Iterator[tuple[str, Tensor]]:
        yield "model.embed_tokens.weight", self._words()
        for number in range(self.shape.layers):
            # A loop here would hold the last tensor of all.
            yield from ((f"model.layers.{number}.{name}", tensor) for name, tensor in self._layer(number))
        yield "model.norm.weight", self._reader.norm("decoder.final_layernorm.").scale
        if not _tied(self.shape):
            name = "embedding.word_embeddings.weight" if self.shape.tied else "output_layer.weight"
            yield "lm_head.weight", self._reader.tensor(name)[:SYMBOL_OFFSET]

    def _words(self) -> Tensor:
        words = self._reader.tensor("embedding.word_embeddings.weight")[:SYMBOL_OFFSET]
        if self.shape.formats:
            formats = self._reader.tensor("embedding.tokentype_embeddings.weight")
            words = words.clone()
            words[RAW_OPEN] += formats[_RAW_FORMAT]
            words[BYTE_OFFSET:] += formats[_RAW_FORMAT]
        return words

    def _layer(self, number: int) -> Iterator[tuple[str, Tensor]]:
        attention, mlp = f"decoder.layers.{number}.self_attention.", f"decoder.layers.{number}.mlp."
        yield "input_layernorm.weight", self._reader.norm(f"{attention}linear_qkv.layer_norm_").scale
        yield from self._attention(attention)
        yield "post_attention_layernorm.weight", self._reader.norm(f"{mlp}linear_fc1.layer_norm_").scale
        yield from self._parts(f"{mlp}linear_fc1", ("mlp.gate_proj", "mlp.up_proj"), [self.shape.ffn] * 2)
        yield from self._parts(f"{mlp}linear_fc2", ("mlp.down_proj",), [self.shape.hidden])

    def _attention(self, prefix: str) -> Iterator[tuple[str, Tensor]]:
        yield from self._queries_keys_values(prefix)
        if self.shape.qkv_bias and not self.shape.linear_bias:
            yield "self_attn.o_proj.bias", torch.zeros(self.shape.hidden)
        yield from self._parts(f"{prefix}linear_proj", ("self_attn.o_proj",), [self.shape.hidden])

    def _queries_keys_values(self, prefix: str) -> Iterator[tuple[str, Tensor]]:
        shape = self.shape
        queries, keys = shape.heads * shape.head_dim, shape.groups * shape.head_dim
        mixed = self._reader.sorted_qkv(self._reader.linear(f"{prefix}linear_qkv", shape.qkv_bias))
        names = [f"self_attn.{kind}_proj" for kind in "qkv"]
        for name, weight in zip(names, torch.split(mixed.weight, [queries, keys, keys]), strict=True):
            yield f"{name}.weight", weight
        if mixed.bias is not None:
            for name, bias in zip(names, torch.split(mixed.bias, [queries, keys, keys]), strict=True):
                yield f"{name}.bias", bias

    def _parts(self, prefix: str, names: tuple[str, ...], sizes: list[int]) -> Iterator[tuple[str, Tensor]]:
        """A linear layer as several, each with so many outputs."""
        kinds = ("weight", "bias") if self.shape.linear_bias else ("weight",)
        for kind in kinds:
            for name, part in zip(names, torch.split(self._reader.tensor(f"{prefix}.{kind}"), sizes), strict=True):
                yield f"{name}.{kind}", part
