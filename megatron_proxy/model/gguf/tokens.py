"""The tokenizer of a GGUF file: each byte is a token, with the id it had in training.

llama.cpp's ``llama`` tokenizer looks a text's characters up among the tokens, and where one is not there takes its
bytes' tokens, which are named ``<0x00>`` to ``<0xFF>``. With no other tokens every character becomes its bytes. But for
the space: that tokenizer writes spaces as ``▁`` (U+2581) before it looks, which would become three bytes; so the token
of the space is that character, a plain one. The price: a ``▁`` in a text is read as a space.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple

from ...vocab import NUM_BYTES, NUM_SPECIALS, name

SPACE: Final = "\u2581"


class Kind(IntEnum):
    """What llama.cpp does with a token; its own numbers."""

    NORMAL = 1
    CONTROL = 3
    BYTE = 6


class Token(NamedTuple):
    """A token's text and kind."""

    text: str
    kind: Kind


def tokens() -> list[Token]:
    """All tokens, by id."""
    specials = [Token(name(id_), Kind.CONTROL) for id_ in range(NUM_SPECIALS)]
    bytes_ = [Token(f"<0x{byte:02X}>", Kind.BYTE) for byte in range(NUM_BYTES)]
    bytes_[ord(" ")] = Token(SPACE, Kind.NORMAL)
    return specials + bytes_
