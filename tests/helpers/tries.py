"""Tries of given strings."""

import numpy as np

from megatron_proxy.compressors.strings.string_set import Trie


def numbered_trie(*strings):
    """A trie with these strings and their prefixes; and the number of each."""
    numbers = {bytes([byte]): byte for byte in range(256)}
    rows = []
    for string in sorted({whole[:n] for whole in strings for n in range(2, len(whole) + 1)}):
        rows.append((numbers[string[:-1]], string[-1]))
        numbers[string] = 255 + len(rows)
    parents, labels = zip(*rows, strict=True) if rows else ((), ())
    return Trie(np.array(parents, np.int32), np.array(labels, np.uint8)), numbers


def trie_of(*strings):
    """The trie alone."""
    return numbered_trie(*strings)[0]
