"""A trained model as a Hugging Face folder that plain ``AutoModelForCausalLM`` and ``AutoTokenizer`` load, and back.

The model becomes a ``LlamaForCausalLM`` over 320 ids: the specials and the bytes. The compressed symbols are dropped;
the model reads and writes raw bytes alone, with no compressor and no code of ours.

===================  ==========================================================
exporting.py         configuration, weights in shards, tokenizer: the files
llama.py             Megatron's weights as Llama's, one after the other
tokenizer.py         bytes as tokens, ``<raw>`` in front
importing.py         the way back: checks, then Megatron in a process of its own
folder.py            such a folder, read and checked
shape.py             its configuration as Megatron's flags
megatron_weights.py  Llama's weights as Megatron's
saving.py            the process in which Megatron writes the checkpoint
===================  ==========================================================
"""

from __future__ import annotations

from .exporting import export

__all__ = ["export"]
