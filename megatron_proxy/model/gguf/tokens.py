"""The tokenizer of a GGUF file: each byte is a token, with the id it had in training.

llama.cpp's ``llama`` tokenizer looks a text's characters up among the tokens, and where one is not there takes its
bytes' tokens, which are named ``<0x00>`` to ``<0xFF>``. With no other tokens every character becomes its bytes. But for
the space: that tokenizer writes spaces as ``▁`` (U+2581) before it looks, which would become three bytes; so the token
of the space is that character, a plain one. The price: a ``▁`` in a text is read as a space.
"""

from __future__ import annotations

from ...vocab import NUM_BYTES, NUM_SPECIALS, name


def tokens() -> dict[str, str]:
    """The text of each token, in the order of ids, with its kind: the name of one of the package gguf's TokenTypes."""
    found = {name(id_): "CONTROL" for id_ in range(NUM_SPECIALS)}
    for byte in range(NUM_BYTES):
        if byte == ord(" "):
            found["\u2581"] = "NORMAL"
        else:
            found[f"<0x{byte:02X}>"] = "BYTE"
    return found
