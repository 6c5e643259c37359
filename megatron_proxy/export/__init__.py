"""A trained model as a Hugging Face folder that plain ``AutoModelForCausalLM`` and ``AutoTokenizer`` load.

The model becomes a ``LlamaForCausalLM`` over 320 ids: the specials and the bytes. The compressed symbols are dropped;
the model reads and writes raw bytes alone, with no compressor and no code of ours.

=============  ==========================================================
llama.py       Megatron's weights as Llama's, one after the other
folder.py      configuration, weights in shards, tokenizer: the files
tokenizer.py   bytes as tokens, ``<raw>`` in front
=============  ==========================================================
"""

from __future__ import annotations

from .folder import export

__all__ = ["export"]
