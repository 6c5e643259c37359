"""A trained model as a Hugging Face folder that plain ``AutoModelForCausalLM`` and ``AutoTokenizer`` load, and back.

The model becomes a ``LlamaForCausalLM``, or what else has exactly its layers, over 320 ids: the specials and the bytes.
The compressed symbols are dropped; the model reads and writes raw bytes alone, with no compressor and no code of ours.
Where the symbols are a tokenizer's tokens, a model over tokens can be imported, and exported again.

===================  =======================================================================
families.py          what transformers calls each architecture: one table for both directions
shape.py             ``config.json`` and Megatron's flags
folder.py            the files of a folder
exporting.py         writing one: views.py (its ids, with tokenizer), hf_weights.py, card.py
importing.py         reading one: tokens.py, rows.py (its ids), megatron_weights.py, saving.py
===================  =======================================================================
"""

from __future__ import annotations

from .exporting import export

__all__ = ["export"]
