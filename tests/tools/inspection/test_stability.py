"""Deletions, repeats and the figures of known mappings, by exact values."""

import zlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from megatron_proxy.compressors import Compressor
from megatron_proxy.tools.inspection.stability import delete_random, delete_span, repeated_substrings, stability


class Bytes(Compressor):
    """Each byte is its own code."""

    name = "bytes-of-a-test"

    @classmethod
    def build(cls, options, corpus):
        return cls()

    @classmethod
    def from_config(cls, config, files):
        return cls()

    def config(self):
        return {}

    num_symbols = 256

    def encode(self, document):
        return np.frombuffer(document, dtype=np.uint8)

    def decode(self, codes):
        return codes.tobytes()


class Deflate(Bytes):
    """A whole document's stream: what is said to be unstable."""

    name = "deflate-of-a-test"

    def encode(self, document):
        return np.frombuffer(zlib.compress(document, 9, wbits=-15), dtype=np.uint8)


def test_deletion_takes_exactly_a_tenth_and_is_fixed():
    text = "0123456789" * 3 + "äöü€"
    assert len(delete_random(text)) == 34 - 3
    assert delete_random(text) == delete_random(text)
    assert delete_random(text, number=1) != delete_random(text)
    assert delete_random(text, seed=1) != delete_random(text)
    assert len(delete_span(text)) == 34 - 3
    assert delete_random("") == delete_span("") == ""


@given(st.text(max_size=200), st.integers(0, 9))
def test_deletions_leave_the_rest_in_order(text, number):
    def is_subsequence(part):
        characters = iter(text)
        return all(character in characters for character in part)

    spread, span = delete_random(text, number=number), delete_span(text, number=number)
    assert len(spread) == len(span) == len(text) - round(0.1 * len(text))
    assert is_subsequence(spread)
    assert any(span == text[:i] + text[i + len(text) - len(span) :] for i in range(len(span) + 1))


def different_lines(count, salt=0):
    return "".join(f"{(n * 2654435761 + salt) % 2**32:08x}\n" for n in range(count)).encode()


def test_bytes_are_as_stable_as_can_be():
    figures = stability(Bytes(), [different_lines(500), b"", different_lines(500, 1)])
    assert (figures.pieces, figures.bytes, figures.codes) == (2, 8_000, 8_000)
    assert figures.random == figures.span == 0.1
    assert figures.bytes_per_code == 1.0


def test_whole_document_deflate_is_not():
    figures = stability(Deflate(), [different_lines(500), different_lines(500, 1)])
    assert figures.random > 0.8
    assert figures.span > 0.5


def test_a_piece_begins_and_ends_between_characters():
    figures = stability(Bytes(), ["€".encode() * 1_000], piece_bytes=100)
    assert figures.bytes == figures.codes == 99
    assert stability(Bytes(), [b"\x80\xff" * 1_000], piece_bytes=100).codes <= 100


def test_nothing_to_measure_gives_zeros():
    figures = stability(Bytes(), [b""])
    assert figures.pieces == figures.repeats == 0
    assert figures.random == figures.repeats_kept == 0.0


REPEATED = b"the quick brown fox jumps over the lazy dog, 0123456789"


def test_repeats_are_maximal_and_show_their_contexts():
    documents = [b"x" + REPEATED + b"y" + b"-1-", b"begin: " + REPEATED, b"unrelated"]
    (repeat,) = repeated_substrings(documents)
    assert repeat.substring == REPEATED
    assert {repeat.first, repeat.second} == {documents[0], documents[1]}


def test_a_repeat_never_spans_two_documents():
    half = len(REPEATED) // 2
    assert repeated_substrings([REPEATED[:half], REPEATED[half:], REPEATED]) == []


def test_overlapping_and_endless_repeats_are_left_out():
    assert repeated_substrings([b"-" * 5_000]) == []
    long = bytes(different_lines(100))
    assert repeated_substrings([b"a" + long, b"b" + long]) == []


def test_share_of_repeats_that_keep_their_codes():
    documents = [different_lines(20, 5) + REPEATED + b"A", b"B" + REPEATED + different_lines(20, 9)]
    kept = stability(Bytes(), documents)
    assert (kept.repeats, kept.repeats_kept, kept.repeat_codes_kept) == (1, 1.0, 1.0)
    lost = stability(Deflate(), documents)
    assert (lost.repeats, lost.repeats_kept) == (1, 0.0)
    assert lost.repeat_codes_kept < 0.2


def test_figures_become_json():
    figures = stability(Bytes(), [different_lines(500)]).to_json()
    assert figures["random"] == 0.1
    assert figures["bytes_per_code"] == 1.0
