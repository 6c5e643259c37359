"""What transformers calls each architecture that Megatron's GPT has too: one table, read in both directions.

A family says under which names transformers keeps a layer's weights, which of its layers have biases, and what its
``config.json`` has of its own. So a model is imported by the family that its folder names, and exported as the first
family that has exactly what the model has: biases of queries, keys and values alone make a Qwen 2, norms of queries and
keys a Qwen 3, windows a Mistral, and what none of these has is a Llama.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ...errors import UnsupportedError
from ..network import Architecture

_QKV: Final = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
_OUT: Final = ("self_attn.o_proj",)
_UP: Final = ("mlp.gate_proj", "mlp.up_proj")
_DOWN: Final = ("mlp.down_proj",)

_LAYER: Final = {
    "self_attention.linear_qkv.layer_norm_weight": ("input_layernorm",),
    "self_attention.linear_qkv": _QKV,
    "self_attention.linear_proj": _OUT,
    "mlp.linear_fc1.layer_norm_weight": ("post_attention_layernorm",),
    "mlp.linear_fc1": _UP,
    "mlp.linear_fc2": _DOWN,
}
_QK_NORMS: Final = {
    "self_attention.q_layernorm.weight": ("self_attn.q_norm",),
    "self_attention.k_layernorm.weight": ("self_attn.k_norm",),
}

ALWAYS: Final = ""
"""Stands in :attr:`Family.biases` for a key of the configuration that cannot be turned off."""


@dataclass(frozen=True)
class Family:
    """One architecture of transformers.

    Parameters
    ----------
    model_type, class_name
        What ``config.json`` says of it.
    layer
        Megatron's part of a layer → transformers', in the order of the forward pass: a norm's ``…weight``, or a linear
        layer and those that it holds one above the other.
    biases
        Key of the configuration → the linear layers that have a bias where it is true.
    windows
        Whether positions may see a window only, of ``sliding_window`` ids.
    window_switch
        The key that must be true for windows to count; None where they always do.
    defaults
        What an absent key stands for.
    """

    model_type: str
    class_name: str
    layer: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: _LAYER)
    biases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    windows: bool = False
    window_switch: str | None = None
    defaults: Mapping[str, Any] = field(default_factory=dict)

    @property
    def qk_norm(self) -> bool:
        """Whether queries and keys are normalised head by head."""
        return any("q_layernorm" in part for part in self.layer)

    def biased(self, config: Mapping[str, Any]) -> frozenset[str]:
        """The linear layers, by transformers' names, that have biases under this configuration."""
        keys = [key for key in self.biases if key == ALWAYS or config.get(key)]
        return frozenset(name for key in keys for name in self.biases[key])

    def bias_keys(self, biased: frozenset[str]) -> dict[str, bool] | None:
        """What the configuration says so that exactly these layers have biases; None if it has no words for that."""
        said = {key: biased.issuperset(names) for key, names in self.biases.items()}
        if self.biased(said) != biased or not said.pop(ALWAYS, True):
            return None
        return said

    def holds(self, shape: Architecture) -> bool:
        """Whether a model of this shape is one of the family's."""
        fits = shape.qk_norm == self.qk_norm and (shape.window is None or self.windows)
        return fits and self.bias_keys(biased_layers(shape)) is not None

    def window_keys(self, window: int | None) -> dict[str, Any]:
        """What the configuration says about windows."""
        if not self.windows:
            return {}
        switch = {} if self.window_switch is None else {self.window_switch: window is not None, "max_window_layers": 0}
        return {"sliding_window": window, **switch}


_FAMILIES: Final = (
    Family("llama", "LlamaForCausalLM", biases={"attention_bias": _QKV + _OUT, "mlp_bias": _UP + _DOWN}),
    Family("mistral", "MistralForCausalLM", windows=True, defaults={"sliding_window": 4096, "num_key_value_heads": 8}),
    Family(
        "qwen2",
        "Qwen2ForCausalLM",
        biases={ALWAYS: _QKV},
        windows=True,
        window_switch="use_sliding_window",
        defaults={"sliding_window": 4096, "max_window_layers": 28, "num_key_value_heads": 32},
    ),
    Family(
        "qwen3",
        "Qwen3ForCausalLM",
        layer=_LAYER | _QK_NORMS,
        biases={"attention_bias": _QKV + _OUT},
        windows=True,
        window_switch="use_sliding_window",
        defaults={"sliding_window": 4096, "max_window_layers": 28, "num_key_value_heads": 32, "head_dim": 128},
    ),
)
FAMILIES: Final = {family.model_type: family for family in _FAMILIES}

_BEHIND: Final = (
    "it has norms behind attention and feed-forward part and none before, and norms of queries and keys over all heads"
)
# What others have that Megatron's GPT, as its script builds it, or this package lacks.
_LACKING: Final = {
    "olmo": "it has norms without weights",
    "olmo2": _BEHIND,
    "olmo3": _BEHIND,
    "gemma": "it has word embeddings multiplied by the square root of the width",
    "gemma2": "it has norms before and behind every part, and logits that are capped",
    "gemma3_text": "it has norms before and behind every part, and windows in some layers only",
    "cohere": "it has attention and feed-forward part side by side",
    "cohere2": "it has attention and feed-forward part side by side",
    "gpt_neox": "it has attention and feed-forward part side by side",
    "phi": "it has attention and feed-forward part side by side",
    "granite": "it has embeddings, residuals and logits multiplied by factors",
    "smollm3": "it has layers without rotary positions",
    "mixtral": "it has experts",
    "qwen2_moe": "it has experts",
    "qwen3_moe": "it has experts",
    "deepseek_v3": "it has experts and latent attention",
}


def biased_layers(shape: Architecture) -> frozenset[str]:
    """The linear layers that have biases, by transformers' names."""
    if shape.linear_bias:
        return frozenset(_QKV + _OUT + _UP + _DOWN)
    return frozenset(_QKV if shape.qkv_bias else ())


def of_config(config: Mapping[str, Any], where: str, fix: str | None = None) -> Family:
    """The family that ``config.json`` names.

    Raises
    ------
    UnsupportedError
        By what the model has that is not supported.
    """
    kind, kinds = config.get("model_type"), config.get("architectures")
    family = FAMILIES.get(kind) if isinstance(kind, str) else None
    if family is None:
        lacking = _LACKING.get(str(kind), f"known are {', '.join(FAMILIES)}")
        raise UnsupportedError(f"the model is a {kind}, which is not supported: {lacking}", where=where, fix=fix)
    if kinds and kinds != [family.class_name]:
        named = kinds[0] if isinstance(kinds, list) else kinds
        raise UnsupportedError(f"the model is a {named}, not a {family.class_name}", where=where, fix=fix)
    return family


def of_shape(shape: Architecture) -> Family:
    """The first family that has exactly what the model has.

    Raises
    ------
    UnsupportedError
        Naming what no family has, by the flags of training.
    """
    _check_common(shape)
    for family in _FAMILIES:
        if family.holds(shape):
            return family
    flags = {
        "--qk-layernorm": shape.qk_norm,
        "--add-qkv-bias": shape.qkv_bias and not shape.linear_bias,
        "no --disable-bias-linear": shape.linear_bias,
        "--window-size": shape.window is not None,
    }
    raise UnsupportedError(
        "no architecture of transformers that is known here has all of these",
        where=", ".join(flag for flag, given in flags.items() if given),
        fix=f"train what one of {', '.join(family.class_name for family in _FAMILIES)} has",
    )


def _check_common(shape: Architecture) -> None:
    """Refuse what no family has a place for, by the first flag of training that is at fault."""
    problems = {
        "--normalization LayerNorm": shape.norm != "RMSNorm",
        "--position-embedding-type": shape.rope is None,
        "--rotary-percent": shape.rope is not None and shape.rope.dimensions != shape.head_dim,
        "--rotary-interleaved": shape.rope is not None and shape.rope.interleaved,
        "--swiglu (missing)": not (shape.gated and shape.activation == "silu"),
    }
    for flag, given in problems.items():
        if given:
            raise UnsupportedError(
                "the model was trained so, and no architecture of transformers that is known here can express it",
                where=flag,
                fix="for export, train with --position-embedding-type rope --normalization RMSNorm --swiglu",
            )
