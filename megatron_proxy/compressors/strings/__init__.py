"""Symbols that stand for strings, matched longest first: counted (trie), or weighed by a language model (neural)."""
