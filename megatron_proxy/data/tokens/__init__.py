"""Corpora that Megatron has tokenized: their ids become the compressed view, what they stand for the raw view.

The ids are not linked but written anew, by workers: a compressed view's codes are literals (0 … 255) and then the
tokenizer's ids, so that symbol ``s`` is the code ``256 + s``, where Megatron's file has ``s``, and the id that ends
each document is no part of it.
"""

from .corpus import TokenCorpus
from .opening import open_tokens

__all__ = ["TokenCorpus", "open_tokens"]
