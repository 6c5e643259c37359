"""A trained model as one GGUF file, over raw bytes alone, for llama.cpp and what is built on it (Ollama, LM Studio, …).

=============  ====================================================
tokens.py      specials and bytes as llama.cpp's tokens
tensors.py     Llama's weights in the order there
exporting.py   the file, and a Modelfile for Ollama beside it
=============  ====================================================
"""

from __future__ import annotations

from .exporting import MODEL, export

__all__ = ["MODEL", "export"]
