"""Characters and bytes: where a border would cut a character of UTF-8, and the characters of byte-level tokenizers."""

from __future__ import annotations


def cuts(content: bytes, place: int) -> bool:
    """Whether a border at ``place`` would cut a character: the byte behind it goes on with one."""
    return place < len(content) and content[place] & 0xC0 == 0x80


def border_before(content: bytes, place: int, begin: int = 0) -> int:
    """The last place behind ``begin``, up to ``place``, that cuts no character; ``place`` if there is none near."""
    for border in range(place, max(begin, place - 4), -1):
        if not cuts(content, border):
            return border
    return place


def byte_characters() -> list[str]:
    """The character that stands for each byte in a byte-level tokenizer: the same for all of them since GPT-2."""
    # Printable Latin-1 stands for itself; all others are moved, in order, to the characters from U+0100 on.
    own = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    moved = iter(range(0x100, 0x200))
    return [chr(byte if byte in own else next(moved)) for byte in range(256)]
