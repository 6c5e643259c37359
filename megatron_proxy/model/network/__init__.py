"""A trained model for use on raw bytes: Megatron's weights in a compact transformer of its own, with a KV cache.

Megatron's model needs process groups, its training arguments in global variables and, off a GPU, a stand-in for CUDA;
its own cache takes batches of one length only. What raw-byte use needs is one process, any device, and prompts of any
length. So the ordinary dense family (rotary or learned positions, RMSNorm or LayerNorm, SwiGLU or GELU, grouped
queries, windows, biases or none, tied or untied) is computed here; the logits are Megatron's to within rounding, which
tests check against ``GPTModel``. Everything else is refused by name.

=================  ===============================================
architecture.py    what the training arguments say about the model
weights.py         Megatron's tensors, taken apart for use
transformer.py     ids → logits, with or without a cache
cache.py           keys and values of what was read already
=================  ===============================================
"""

from __future__ import annotations

from .architecture import Architecture
from .cache import Cache
from .transformer import ByteModel, Scores

__all__ = ["Architecture", "ByteModel", "Cache", "Scores"]
