"""What the strings of a compressor say of the next byte."""

import numpy as np
import pytest

from megatron_proxy.compressors.strings.string_set import Trie
from megatron_proxy.model.generation.drafts import First, Lookup, Strings


def trie(*strings):
    """A trie of strings in order, each the extension of one before it or of a byte."""
    numbers = {bytes([byte]): byte for byte in range(256)}
    numbers |= {string: number for number, string in enumerate(strings, start=256)}
    parents = np.array([numbers[string[:-1]] for string in strings], dtype=np.int32)
    return Trie(parents, np.array([string[-1] for string in strings], dtype=np.uint8))


# Heaviest first: after "the" a space is likelier than an "n".
STRINGS = trie(b"th", b"the", b"the ", b"he", b"then", b"he ", b"he s")


@pytest.mark.parametrize(
    ("context", "proposal"),
    [
        (b"", b""),
        (b"th", b""),
        (b"the", b" s"),
        (b"in the", b" s"),
        # No string goes on after "then"; of its ends "hen" is none.
        (b"then", b""),
        (b"a he ", b"s"),
        (b"xyz", b""),
    ],
)
def test_the_likeliest_byte_after_the_longest_end_that_goes_on(context, proposal):
    assert Strings(STRINGS).propose(context, 6) == proposal


def test_no_more_than_was_asked_for():
    assert Strings(STRINGS).propose(b"the", 1) == b" "


def test_without_strings_nothing_is_proposed():
    assert Strings(trie()).propose(b"the", 4) == b""


def test_the_first_that_has_a_draft():
    both = First((Lookup(), Strings(STRINGS)))
    assert both.propose(b"xthen the", 2) == b" s"
    assert both.propose(b" the end the", 2) == b" e"
    assert both.propose(b"xyz", 2) == b""
