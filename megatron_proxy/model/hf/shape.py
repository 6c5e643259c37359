"""``config.json`` → :class:`Architecture` → Megatron's flags, and ``config.json`` again."""

from __future__ import annotations

import math
from typing import Any, Final

import torch

from ...errors import CheckpointError, UnsupportedError
from ..network import Architecture
from ..network.architecture import STOCK_STRETCH, Rope
from ..network.transformer import LLAMA3_SCALING
from .families import Family, biased_layers

_FILE: Final = "config.json"
_LLAMA3: Final = dict(
    zip(("low_freq_factor", "high_freq_factor", "original_max_position_embeddings"), LLAMA3_SCALING, strict=True)
)


def architecture(config: dict[str, Any], family: Family, *, biases: bool) -> Architecture:
    """The architecture that ``config.json`` describes.

    ``biases`` tells whether more layers than the query-key-value projection have a bias that is not zero.

    Raises
    ------
    CheckpointError
        A number that is missing or makes no sense.
    UnsupportedError
        An activation, or a kind of rotary positions, that Megatron's flags cannot express.
    """
    config = {**family.defaults, **config}
    activation = config.get("hidden_act", "silu")
    if activation not in ("silu", "swish"):
        raise UnsupportedError(f"the activation {activation!r} is not supported; silu is", where=_FILE)
    hidden, heads = _count(config, "hidden_size"), _count(config, "num_attention_heads")
    groups = _count(config, "num_key_value_heads", heads)
    head_dim = _count(config, "head_dim", hidden // heads)
    if heads % groups:
        raise CheckpointError(f"{heads} heads cannot share {groups} keys and values", where=_FILE)
    return Architecture(
        layers=_count(config, "num_hidden_layers"),
        hidden=hidden,
        heads=heads,
        groups=groups,
        head_dim=head_dim,
        ffn=_count(config, "intermediate_size"),
        vocabulary=_count(config, "vocab_size"),
        context=_count(config, "max_position_embeddings"),
        norm="RMSNorm",
        norm_epsilon=_epsilon(config),
        zero_centered_norm=False,
        activation="silu",
        gated=True,
        linear_bias=biases,
        qkv_bias=biases or bool(family.biased(config)),
        tied=bool(config.get("tie_word_embeddings")),
        rope=_rope(config, head_dim),
        learned_positions=False,
        qk_norm=family.qk_norm,
        formats=False,
        window=_window(config, family),
    )


def _count(config: dict[str, Any], key: str, default: int | None = None) -> int:
    value = config.get(key)
    value = default if value is None else value
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise CheckpointError(f"{key} is {value!r}, and no number of things", where=_FILE)
    return value


def _epsilon(config: dict[str, Any]) -> float:
    value = config.get("rms_norm_eps", 1e-6)
    if not isinstance(value, int | float) or not 0.0 <= value < 1.0:
        raise CheckpointError(f"rms_norm_eps is {value!r}, and no small number", where=_FILE)
    return float(value)


def _window(config: dict[str, Any], family: Family) -> int | None:
    """How many ids each position sees; None for all of them."""
    counts = family.window_switch is None or config.get(family.window_switch)
    if not family.windows or not counts or config.get("sliding_window") is None:
        return None
    size, layers = _count(config, "sliding_window"), _count(config, "num_hidden_layers")
    kinds, first = config.get("layer_types"), config.get("max_window_layers") if family.window_switch else 0
    if not isinstance(first, int):
        raise CheckpointError(f"max_window_layers is {first!r}, and no number of layers", where=_FILE)
    # Which layers have windows: all (True), none (False), or both kinds.
    listed = {str(kind) == "sliding_attention" for kind in kinds} if isinstance(kinds, list) else set()
    some = listed or {first <= 0, first < layers}
    if len(some) > 1:
        raise UnsupportedError(
            "windows in some layers only are not supported (sliding_window, layer_types, max_window_layers)",
            where=_FILE,
        )
    return size if True in some else None


def _rope(config: dict[str, Any], head_dim: int) -> Rope:
    """Release 5 of transformers writes ``rope_parameters``, release 4 ``rope_theta`` and ``rope_scaling``."""
    found: dict[str, Any] = {}
    for key in ("rope_scaling", "rope_parameters"):
        value = config.get(key) or {}
        if not isinstance(value, dict):
            raise CheckpointError(f"{key} is {value!r}, and no object", where=_FILE)
        found |= value
    kind = found.get("rope_type", found.get("type", "default"))
    theta = found.get("rope_theta", config.get("rope_theta", 10000.0))
    partial = found.get("partial_rotary_factor", config.get("partial_rotary_factor"))
    factor = found.get("factor")
    llama3 = kind == "llama3" and found.items() >= _LLAMA3.items()
    stretch = float(factor) if llama3 and isinstance(factor, int | float) and factor >= 1 else None
    if (kind != "default" and stretch is None) or partial not in (None, 1, 1.0):
        raise UnsupportedError(
            f"rotary positions of the kind {found} are not supported; the default and Llama 3's {_LLAMA3} are, with "
            "any factor",
            where=_FILE,
        )
    if not isinstance(theta, int | float) or not math.isfinite(theta) or theta != int(theta):
        raise UnsupportedError(
            f"Megatron takes whole numbers as the base of rotary positions, not {theta}", where=_FILE
        )
    return Rope(head_dim, float(theta), stretch=stretch)


def megatron_flags(shape: Architecture) -> list[str]:
    """The flags of training that describe the model, its vocabulary left out."""
    base, stretch = (shape.rope.base, shape.rope.stretch) if shape.rope is not None else (10000.0, None)
    flags = {
        "--num-layers": shape.layers,
        "--hidden-size": shape.hidden,
        "--ffn-hidden-size": shape.ffn,
        "--num-attention-heads": shape.heads,
        "--kv-channels": shape.head_dim,
        "--seq-length": shape.context,
        "--max-position-embeddings": shape.context,
        "--normalization": shape.norm,
        "--norm-epsilon": shape.norm_epsilon,
        "--position-embedding-type": "rope",
        "--rotary-base": int(base),
        "--hidden-dropout": 0.0,
        "--attention-dropout": 0.0,
    }
    words = [str(word) for flag in flags.items() for word in flag]
    if shape.groups < shape.heads:
        words += ["--group-query-attention", "--num-query-groups", str(shape.groups)]
    switches = {
        "--swiglu": True,
        "--disable-bias-linear": not shape.linear_bias,
        "--add-qkv-bias": shape.qkv_bias and not shape.linear_bias,
        "--untie-embeddings-and-output-weights": not shape.tied,
        "--use-rope-scaling": stretch is not None,
        "--qk-layernorm": shape.qk_norm,
    }
    if shape.window is not None:
        words += ["--window-size", f"{shape.window - 1},0"]
    if stretch not in (None, STOCK_STRETCH):
        words += ["--rope-scaling-factor", str(stretch)]
    return words + [flag for flag, given in switches.items() if given]


def config(
    shape: Architecture, family: Family, dtype: torch.dtype, *, vocabulary: int, tied: bool, special: dict[str, Any]
) -> dict[str, Any]:
    """``config.json``, readable by releases 4 and 5 of transformers; ``special`` are ``bos_token_id`` and the like."""
    rope: dict[str, Any] = {"rope_type": "default"}
    if shape.rope is not None and shape.rope.stretch is not None:
        rope = {"rope_type": "llama3", "factor": shape.rope.stretch, **_LLAMA3}
    base = shape.rope.base if shape.rope is not None else 10000.0
    return {
        "architectures": [family.class_name],
        "model_type": family.model_type,
        "vocab_size": vocabulary,
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
        **(family.bias_keys(biased_layers(shape)) or {}),
        **family.window_keys(shape.window),
        "tie_word_embeddings": tied,
        "torch_dtype": str(dtype).removeprefix("torch."),
        **special,
    }
