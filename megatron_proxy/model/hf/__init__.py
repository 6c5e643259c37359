"""A trained model as a Hugging Face folder that plain ``AutoModelForCausalLM`` and ``AutoTokenizer`` load, and back.

The model becomes a ``LlamaForCausalLM`` over 320 ids: the specials and the bytes. The compressed symbols are dropped;
the model reads and writes raw bytes alone, with no compressor and no code of ours.

===================  ===================================================
"""

from __future__ import annotations

from .exporting import export

__all__ = ["export"]
