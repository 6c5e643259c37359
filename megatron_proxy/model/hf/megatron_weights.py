"""Llama's weights under Megatron's names: the inverse of :class:`.llama.LlamaWeights`, exact on all that it holds.

Rows above specials and bytes (the symbols, and Megatron's padding) are drawn as Megatron draws an embedding: normally,
with mean 0 and ``--init-method-std``. A row depends on the seed and its number alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import torch
from torch import Tensor

from ...common import rng
from ...errors import CheckpointError
from ...vocab import SYMBOL_OFFSET
from ..checkpoint.legacy import global_name
from ..network import Architecture
from ..network.weights import unsort_qkv

_EMBEDDING: Final = "embedding.word_embeddings.weight"
_OUTPUT: Final = "output_layer.weight"
_TABLES: Final = {_EMBEDDING: "model.embed_tokens.weight", _OUTPUT: "lm_head.weight"}
_NORMS: Final = {
    "self_attention.linear_qkv.layer_norm_weight": "input_layernorm",
    "mlp.linear_fc1.layer_norm_weight": "post_attention_layernorm",
}
# Megatron's layer → Llama's, one above the other.
_LINEAR: Final = {
    "self_attention.linear_qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "self_attention.linear_proj": ("self_attn.o_proj",),
    "mlp.linear_fc1": ("mlp.gate_proj", "mlp.up_proj"),
    "mlp.linear_fc2": ("mlp.down_proj",),
}
_ROWS_AT_ONCE: Final = 1024
# transformers before release 4.32 stored a table that follows from the configuration.
_DERIVED: Final = re.compile(r"model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq")


class Llama(Protocol):
    """Where tensors come from, by Llama's names: :class:`.folder.LlamaFolder`."""

    shapes: dict[str, tuple[int, ...]]

    def read(self, tensor: str) -> Tensor:
        """One whole tensor."""


def check(llama: Llama, shape: Architecture, *, attention_bias: bool, mlp_bias: bool) -> None:
    """Every tensor must be there, in its size, and no other.

    Raises
    ------
    CheckpointError
        Naming the first that is not so.
    """
    expected = set()
    # One by one: how many layers the configuration claims is no reason to list them all.
    for name, size in _expected(shape, attention_bias=attention_bias, mlp_bias=mlp_bias):
        expected.add(name)
        found = llama.shapes.get(name)
        if found != size:
            told = "is missing" if found is None else f"has the shape {found}, and config.json asks for {size}"
            raise CheckpointError(f"the tensor {name!r} {told}", fix="was the folder written to its end?")
    for name in llama.shapes:
        # A tied output layer may be stored all the same.
        if name not in expected and name != "lm_head.weight" and not _DERIVED.fullmatch(name):
            raise CheckpointError(f"the tensor {name!r} has no place in the model that config.json describes")


def _expected(shape: Architecture, *, attention_bias: bool, mlp_bias: bool) -> Iterator[tuple[str, tuple[int, ...]]]:
    queries, keys = shape.heads * shape.head_dim, shape.groups * shape.head_dim
    sizes = {
        "self_attn.q_proj": (queries, shape.hidden),
        "self_attn.k_proj": (keys, shape.hidden),
        "self_attn.v_proj": (keys, shape.hidden),
        "self_attn.o_proj": (shape.hidden, queries),
        "mlp.gate_proj": (shape.ffn, shape.hidden),
        "mlp.up_proj": (shape.ffn, shape.hidden),
        "mlp.down_proj": (shape.hidden, shape.ffn),
    }
    yield "model.embed_tokens.weight", (SYMBOL_OFFSET, shape.hidden)
    for number in range(shape.layers):
        layer = f"model.layers.{number}."
        for norm in _NORMS.values():
            yield f"{layer}{norm}.weight", (shape.hidden,)
        for name, size in sizes.items():
            yield f"{layer}{name}.weight", size
            if attention_bias if name.startswith("self_attn") else mlp_bias:
                yield f"{layer}{name}.bias", size[:1]
    yield "model.norm.weight", (shape.hidden,)
    if not shape.tied:
        yield "lm_head.weight", (SYMBOL_OFFSET, shape.hidden)


@dataclass(frozen=True)
class MegatronWeights:
    """The weights under Megatron's names, made one tensor at a time.

    Parameters
    ----------
    llama
        Llama's weights, checked.
    shape
        The model's architecture.
    vocabulary
        Number of ids, Megatron's padding included.
    seed, std
        Of the rows that Llama does not have.
    """

    llama: Llama
    shape: Architecture
    vocabulary: int
    seed: int
    std: float

    def read(self, name: str) -> Tensor:
        """One whole tensor.

        Raises
        ------
        KeyError
            If no tensor of Llama's goes by this name: Megatron has built another model.
        """
        name = global_name(name, 0)
        if name in _TABLES:
            return self._table(name)
        if name == "decoder.final_layernorm.weight":
            return self.llama.read("model.norm.weight")
        match = re.fullmatch(r"decoder\.layers\.(\d+)\.(.+)", name)
        if match is None:
            raise KeyError(name)
        layer, part = f"model.layers.{match[1]}.", match[2]
        if part in _NORMS:
            return self.llama.read(f"{layer}{_NORMS[part]}.weight")
        module, _, kind = part.rpartition(".")
        joined = torch.cat([self._part(f"{layer}{name}", kind) for name in _LINEAR[module]])
        return unsort_qkv(joined, self.shape) if module.endswith("linear_qkv") else joined

    def _part(self, name: str, kind: str) -> Tensor:
        if kind == "bias" and f"{name}.bias" not in self.llama.shapes:
            # Megatron has biases everywhere or in the query-key-value projection alone.
            return torch.zeros(self.llama.shapes[f"{name}.weight"][0])
        return self.llama.read(f"{name}.{kind}")

    def _table(self, name: str) -> Tensor:
        rows = self.llama.read(_TABLES[name])
        table = torch.empty(self.vocabulary, self.shape.hidden, dtype=rows.dtype)
        table[:SYMBOL_OFFSET] = rows
        part = list(_TABLES).index(name)
        for begin in range(SYMBOL_OFFSET, self.vocabulary, _ROWS_AT_ONCE):
            end = min(begin + _ROWS_AT_ONCE, self.vocabulary)
            table[begin:end] = torch.from_numpy(new_rows(begin, end, self.shape.hidden, self.seed, part) * self.std)
        return table


def new_rows(
    begin: int, end: int, width: int, seed: int, part: int
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Rows ``begin … end - 1`` of a table of standard normal numbers: float64, shape (end - begin, width).

    By Box and Muller's transform ("A note on the generation of random normal deviates", 1958) of two uniform numbers.
    """
    counters = np.arange(begin * width, end * width, dtype=np.uint64)
    first, second = (rng.uniform(rng.key(seed, rng.Purpose.NEW_ROWS, part, which), counters) for which in (0, 1))
    normal = np.sqrt(-2.0 * np.log1p(-first)) * np.cos(2.0 * np.pi * second)
    return normal.reshape(end - begin, width)
