"""A folder's weights under Megatron's names: the inverse of :class:`.hf_weights.HfWeights`, exact on all that it holds.

Rows of embedding and output layer are those of :mod:`.rows`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from ...errors import CheckpointError
from ..checkpoint.legacy import global_name
from ..network import Architecture
from ..network.weights import unsort_qkv
from .families import Family
from .folder import HfFolder
from .rows import Drawing, TokenRows, table

EMBEDDING: Final = "model.embed_tokens.weight"
OUTPUT: Final = "lm_head.weight"
FINAL_NORM: Final = "model.norm.weight"
_TABLES: Final = {"embedding.word_embeddings.weight": EMBEDDING, "output_layer.weight": OUTPUT}
# transformers before release 4.32 stored a table that follows from the configuration.
_DERIVED: Final = re.compile(r"model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq")


def check(folder: HfFolder, shape: Architecture, biased: frozenset[str]) -> None:
    """Every tensor must be there, in its size, and no other; ``biased`` are the linear layers that have biases.

    Raises
    ------
    CheckpointError
        Naming the first that is not so.
    """
    where = str(folder.path)
    expected = set()
    # One by one: how many layers the configuration claims is no reason to list them all.
    for name, size in _expected(shape, folder.family, biased):
        expected.add(name)
        found = folder.shapes.get(name)
        if found != size:
            told = "is missing" if found is None else f"has the shape {found}, and config.json asks for {size}"
            raise CheckpointError(f"the tensor {name!r} {told}", where=where, fix="was the folder written to its end?")
    for name in folder.shapes:
        # A tied output layer may be stored all the same.
        if name not in expected and name != OUTPUT and not _DERIVED.fullmatch(name):
            raise CheckpointError(
                f"the tensor {name!r} has no place in the model that config.json describes", where=where
            )
    if shape.tied and OUTPUT in folder.shapes and not torch.equal(folder.read(OUTPUT), folder.read(EMBEDDING)):
        raise CheckpointError(
            f"config.json says that the output layer is the embedding, and {OUTPUT!r} is another table",
            where=where,
            fix='if the weights are right, set "tie_word_embeddings": false',
        )


def _expected(shape: Architecture, family: Family, biased: frozenset[str]) -> Iterator[tuple[str, tuple[int, ...]]]:
    queries, keys = shape.heads * shape.head_dim, shape.groups * shape.head_dim
    sizes = {
        "self_attn.q_proj": (queries, shape.hidden),
        "self_attn.k_proj": (keys, shape.hidden),
        "self_attn.v_proj": (keys, shape.hidden),
        "self_attn.o_proj": (shape.hidden, queries),
        "self_attn.q_norm": (shape.head_dim,),
        "self_attn.k_norm": (shape.head_dim,),
        "mlp.gate_proj": (shape.ffn, shape.hidden),
        "mlp.up_proj": (shape.ffn, shape.hidden),
        "mlp.down_proj": (shape.hidden, shape.ffn),
    }
    yield EMBEDDING, (shape.vocabulary, shape.hidden)
    for number in range(shape.layers):
        layer = f"model.layers.{number}."
        for name in (name for names in family.layer.values() for name in names):
            size = sizes.get(name, (shape.hidden,))
            yield f"{layer}{name}.weight", size
            if name in biased:
                yield f"{layer}{name}.bias", size[:1]
    yield FINAL_NORM, (shape.hidden,)
    if not shape.tied:
        yield OUTPUT, (shape.vocabulary, shape.hidden)


@dataclass(frozen=True)
class MegatronWeights:
    """The weights of a folder that was checked under Megatron's names, made one tensor at a time.

    ``vocabulary`` is the number of ids, Megatron's padding included; the rows that the folder has not are drawn.
    ``rows`` are those of a model over tokens, None of one over specials and bytes.
    """

    folder: HfFolder
    shape: Architecture
    vocabulary: int
    rows: TokenRows | None
    drawing: Drawing

    def read(self, name: str) -> Tensor:
        """One whole tensor.

        Raises
        ------
        KeyError
            If no tensor of the folder's goes by this name: Megatron has built another model.
        """
        name = global_name(name, 0)
        if name in _TABLES:
            number = list(_TABLES).index(name)
            return table(self.rows, self.folder.read(_TABLES[name]), self.vocabulary, self.drawing, number)
        if name == "decoder.final_layernorm.weight":
            return self.folder.read(FINAL_NORM)
        match = re.fullmatch(r"decoder\.layers\.(\d+)\.(.+)", name)
        if match is None:
            raise KeyError(name)
        layer, part = f"model.layers.{match[1]}.", match[2]
        if part in self.folder.family.layer:
            (norm,) = self.folder.family.layer[part]
            return self.folder.read(f"{layer}{norm}.weight")
        module, _, kind = part.rpartition(".")
        joined = torch.cat([self._part(f"{layer}{name}", kind) for name in self.folder.family.layer[module]])
        return unsort_qkv(joined, self.shape) if module.endswith("linear_qkv") else joined

    def _part(self, name: str, kind: str) -> Tensor:
        if kind == "bias" and f"{name}.bias" not in self.folder.shapes:
            # Megatron has biases everywhere or in the query-key-value projection alone.
            return torch.zeros(self.folder.shapes[f"{name}.weight"][0])
        return self.folder.read(f"{name}.{kind}")
