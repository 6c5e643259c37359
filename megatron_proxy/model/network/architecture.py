"""The shape of a model, read off Megatron's training arguments; what is not supported is refused by its flag."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any, Final

from ...errors import UnsupportedError

STOCK_STRETCH: Final = 8.0
"""Megatron's default for ``--rope-scaling-factor``, which is Llama 3.1's."""


@dataclass(frozen=True)
class Rope:
    """Rotary positions.

    Parameters
    ----------
    dimensions
        How many of a head's dimensions are rotated.
    base
        Base of the geometric series of wavelengths.
    interleaved
        Whether pairs are neighbours; else the first half pairs with the second.
    stretch
        By what factor long wavelengths are stretched, as in Llama 3; None: they are not.
    """

    dimensions: int
    base: float
    interleaved: bool = False
    stretch: float | None = None


@dataclass(frozen=True)
class Architecture:
    """A dense decoder.

    Parameters
    ----------
    layers, hidden, heads, groups, head_dim, ffn
        Numbers of layers, model width, query heads, key-value heads, width of a head, width of the feed-forward part.
    vocabulary
        Number of ids, Megatron's padding included.
    context
        The longest window the model was trained on: a window has ``context`` inputs and as many targets.
    norm
        ``RMSNorm`` or ``LayerNorm``.
    zero_centered_norm
        Whether norms store their scale minus one.
    activation
        ``silu``, ``gelu``, ``gelu_tanh`` or ``squared_relu``.
    gated
        Whether the feed-forward part multiplies the activation by a second projection.
    linear_bias, qkv_bias
        Whether all linear layers have biases, and whether the query-key-value projection has.
    tied
        Whether the output layer is the embedding.
    rope
        Rotary positions, or None.
    learned_positions
        Whether learned positions are added to the embeddings.
    qk_norm
        Whether queries and keys are normalised head by head.
    formats
        Whether a learned vector per format is added to the embeddings.
    window
        How many ids each position sees, its own included; None: all that are before it.
    looks_ahead
        Whether a layer behind the decoder predicts the id after the next (``--mtp-num-layers``).
    """

    layers: int
    hidden: int
    heads: int
    groups: int
    head_dim: int
    ffn: int
    vocabulary: int
    context: int
    norm: str
    norm_epsilon: float
    zero_centered_norm: bool
    activation: str
    gated: bool
    linear_bias: bool
    qkv_bias: bool
    tied: bool
    rope: Rope | None
    learned_positions: bool
    qk_norm: bool
    formats: bool
    window: int | None = None
    looks_ahead: bool = False

    @classmethod
    def from_args(cls, args: argparse.Namespace) -> Architecture:
        """The architecture of Megatron's training arguments.

        Raises
        ------
        UnsupportedError
            Naming the first flag that this family has no place for.
        """
        _refuse_others(args)
        positions = str(_get(args, "position_embedding_type", "learned_absolute"))
        return cls(
            layers=args.num_layers,
            hidden=args.hidden_size,
            heads=args.num_attention_heads,
            groups=args.num_query_groups if args.group_query_attention else args.num_attention_heads,
            head_dim=args.kv_channels,
            ffn=args.ffn_hidden_size,
            vocabulary=args.padded_vocab_size,
            context=min(args.seq_length, args.max_position_embeddings or args.seq_length),
            norm=args.normalization,
            norm_epsilon=float(_get(args, "layernorm_epsilon", _get(args, "norm_epsilon", 1e-5))),
            zero_centered_norm=bool(
                _get(args, "layernorm_zero_centered_gamma", _get(args, "apply_layernorm_1p", False))
            ),
            activation=_activation(args),
            gated=bool(args.swiglu),
            linear_bias=bool(args.add_bias_linear),
            qkv_bias=bool(args.add_bias_linear or _get(args, "add_qkv_bias", False)),
            tied=not args.untie_embeddings_and_output_weights,
            rope=_rope(args) if positions == "rope" else None,
            learned_positions=positions == "learned_absolute",
            qk_norm=bool(_get(args, "qk_layernorm", False)),
            formats=bool(_get(args, "proxy_format_embedding", False)),
            window=_window(args),
            looks_ahead=bool(_get(args, "mtp_num_layers", 0)),
        )


def _get(args: argparse.Namespace, name: str, default: Any = None) -> Any:
    """An argument that some releases do not have, or leave at None."""
    value = getattr(args, name, default)
    return default if value is None else value


_NO_PLACE: Final = (
    *("num_experts", "multi_latent_attention", "experimental_attention_variant", "heterogeneous_layers_config_path"),
    *("hybrid_layer_pattern", "hybrid_override_pattern", "spec", "no_rope_freq", "attention_output_gate", "qk_l2_norm"),
    # Releases differ in whether this one does anything.
    "rotary_seq_len_interpolation_factor",
    *("quick_geglu", "activation_func_clamp_value", "apply_residual_connection_post_layernorm", "use_mup"),
    "enable_hyper_connections",
)
_KNOWN: Final = {
    "position_embedding_type": ("learned_absolute", "rope", "none"),
    "normalization": ("LayerNorm", "RMSNorm"),
    "softmax_type": ("vanilla",),
}
"""What these can be; the first is what an absent one is."""


def _refuse_others(args: argparse.Namespace) -> None:
    window = _get(args, "window_size")
    refused = {
        **{name: _get(args, name) for name in _NO_PLACE},
        **{name: _get(args, name, known[0]) not in known for name, known in _KNOWN.items()},
        # Megatron's pair says how many ids are seen before a position, and how many after it.
        "window_size": window and window[1] != 0,
        "window_attn_skip_freq": window and _get(args, "window_attn_skip_freq"),
    }
    for name, is_given in refused.items():
        if is_given:
            flag = f"--{name.replace('_', '-')}"
            raise UnsupportedError(
                "the model was trained with this flag, and raw-byte use has no place for it",
                where=flag,
                fix="use Megatron's own inference on the checkpoint",
            )


def _activation(args: argparse.Namespace) -> str:
    if args.swiglu:
        return "silu"
    if _get(args, "squared_relu", False):
        return "squared_relu"
    # Megatron's fused kernel computes the approximation, its plain layer the exact function.
    fused = _get(args, "bias_gelu_fusion", False) and args.add_bias_linear
    return "gelu_tanh" if fused or _get(args, "openai_gelu", False) else "gelu"


def _window(args: argparse.Namespace) -> int | None:
    before = (_get(args, "window_size") or (-1, 0))[0]
    return before + 1 if before >= 0 else None


def _rope(args: argparse.Namespace) -> Rope:
    percent = float(_get(args, "rotary_percent", 1.0))
    stretch = float(_get(args, "rope_scaling_factor", STOCK_STRETCH))
    return Rope(
        dimensions=int(args.kv_channels * percent) if percent < 1.0 else args.kv_channels,
        base=float(_get(args, "rotary_base", 10000)),
        interleaved=bool(_get(args, "rotary_interleaved", False)),
        stretch=stretch if _get(args, "use_rope_scaling", False) else None,
    )
