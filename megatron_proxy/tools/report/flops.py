"""Floating-point operations of training, from what the log says.

For a dense GPT, per token of a window of S tokens, forward and backward::

    6 · (layers · (2 · h · q + 2 · h · kv + m · h · f) + h · V)  +  6 · layers · q · S

with h the hidden size, q = heads · channels, kv = query groups · channels, f the MLP's size, m = 3 for a gated MLP
(``--swiglu``) and 2 otherwise, V the padded vocabulary. The first part is the usual 6 · N · tokens over the N weights
that a token is multiplied with (the embedding is only looked up; the output layer counts), the second the causal
attention itself. It is the accounting of Megatron's own ``num_floating_point_operations``, behind its "throughput per
GPU". Other models (experts, latent attention, multi-token prediction, hybrids) are not computed: for them the printed
throughput is taken, if there is one.
"""

from __future__ import annotations

from typing import Final

from .settings import RunSettings
from .training_log import Entry

FORMULA: Final = (
    "6·(layers·(2·h·q + 2·h·kv + m·h·f) + h·V) + 6·layers·q·S per token, forward and backward: 6·N·tokens over the "
    "weights that a token meets, and causal attention, as Megatron's num_floating_point_operations counts a dense GPT "
    "(h hidden size, q heads·channels, kv query groups·channels, f MLP size, m 3 if gated and else 2, V padded "
    "vocabulary, S sequence length)"
)
PRINTED: Final = "the throughput that Megatron printed, by the time and the number of GPUs"
THROUGHPUT: Final = "throughput per GPU (TFLOP/s/GPU)"
ELAPSED: Final = "elapsed time per iteration (ms)"
_OTHER_MODELS: Final = ("num_experts", "mtp_num_layers", "hybrid_layer_pattern", "hybrid_override_pattern")


def per_token(settings: RunSettings) -> int | None:
    """FLOPs per token of a dense GPT; None if the log lacks a figure, or the model is of another kind."""
    if any(settings.text(name) for name in _OTHER_MODELS) or settings.flag("multi_latent_attention"):
        return None
    names = ("num_layers", "hidden_size", "ffn_hidden_size", "num_attention_heads", "seq_length")
    layers, hidden, ffn, heads, length = map(settings.number, names)
    vocabulary = settings.padded_vocabulary
    if not (layers and hidden and ffn and heads and length and vocabulary):
        return None
    channels = settings.number("kv_channels") or hidden // heads
    groups = (settings.number("num_query_groups") if settings.flag("group_query_attention") else None) or heads
    query, key = heads * channels, groups * channels
    gated = 3 if settings.flag("swiglu") else 2
    weights = layers * (2 * hidden * query + 2 * hidden * key + gated * hidden * ffn) + hidden * vocabulary
    return 6 * (weights + layers * query * length)


def per_iteration(settings: RunSettings, entry: Entry) -> float | None:
    """FLOPs of one iteration from the throughput that Megatron printed (``--log-throughput``), if it did."""
    processes = settings.number("world_size")
    throughput, elapsed = entry.values.get(THROUGHPUT), entry.values.get(ELAPSED)
    if processes is None or throughput is None or elapsed is None:
        return None
    return throughput * 1e12 * elapsed / 1e3 * processes
