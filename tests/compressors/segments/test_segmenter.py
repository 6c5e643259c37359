"""Segments: nothing is lost, nothing is too long, and an edit moves only the borders around it."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megatron_proxy.compressors.segments import punkt
from megatron_proxy.compressors.segments.punkt import Punkt
from megatron_proxy.compressors.segments.segmenter import Segmenter, SegmentKind
from megatron_proxy.errors import CompressorError

PROSE = [
    b"Dr. Smith went home. He slept well. Dr. Jones, i.e. his friend, did not. Why?\n\nNobody knows.  ",
    b"The cat sat. Dr. Brown saw it. It was e.g. grey, i.e. not black. Dr. Green agreed! So what? Dr. Black left.",
] * 5
CODE = b"import os\n\n\ndef f(x):\n    if x:\n        return 1\n    return 2\n\n\ndef g():\n    return f(0)\n"


@pytest.fixture(scope="module")
def sentences():
    return Punkt(punkt.train(PROSE))


documents = st.binary(max_size=400) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass"))
texts = st.lists(st.sampled_from([b"a", b"bc ", b"\n", b"  x", b"\r\n", b". ", "語。".encode(), b"\x80", b"\x00"])).map(
    b"".join
)


@settings(deadline=None)  # compiles on its first call
@given(
    documents | texts, st.sampled_from([SegmentKind.LINES, SegmentKind.FIXED, SegmentKind.DOCUMENT]), st.integers(1, 50)
)
def test_segments_are_the_document(document, kind, max_bytes):
    segmenter = Segmenter(kind, max_bytes)
    assert segmenter.ends(document).dtype == np.int64
    segments = list(segmenter.cut([document]))
    assert b"".join(segments) == document
    assert all(segments)
    if kind is not SegmentKind.DOCUMENT:
        assert max(map(len, segments), default=0) <= max_bytes


@pytest.mark.long
@settings(deadline=None)  # compiles on its first call
@given(documents | texts, st.integers(1, 50))
def test_sentences_are_the_document(sentences, document, max_bytes):
    segments = list(Segmenter(SegmentKind.SENTENCES, max_bytes, sentences).cut([document]))
    assert b"".join(segments) == document
    assert all(0 < len(segment) <= max_bytes for segment in segments)


def test_lines_prefer_blank_lines_then_small_indents():
    assert list(Segmenter(SegmentKind.LINES, 70).cut([CODE])) == [
        b"import os\n\n\n",
        b"def f(x):\n    if x:\n        return 1\n    return 2\n\n\n",
        b"def g():\n    return f(0)\n",
    ]
    assert list(Segmenter(SegmentKind.LINES, 40).cut([CODE]))[1:3] == [
        b"def f(x):\n    if x:\n        return 1\n",
        b"    return 2\n\n\n",
    ]


def test_long_lines_are_cut_at_words_and_characters():
    words = b"one two three four five six seven"
    assert all(piece.strip() in words.split() for piece in Segmenter(SegmentKind.LINES, 6).cut([words]))
    text = "日本語の文字列です" * 20
    for piece in Segmenter(SegmentKind.LINES, 16).cut([text.encode()]):
        assert piece.decode("utf-8") in text


def test_what_has_no_borders_is_cut_to_size():
    assert Segmenter(SegmentKind.LINES, 10).ends(b"\x80" * 25).tolist() == [10, 20, 25]
    assert Segmenter(SegmentKind.FIXED, 10).ends(b"x" * 20).tolist() == [10, 20]


@pytest.mark.parametrize("seed", range(20))
def test_an_edit_moves_only_the_borders_around_it(seed):
    random = np.random.default_rng(seed)
    lines = [b" " * random.choice([0, 4, 8]) + random.bytes(8).hex().encode() + b"\n" for _ in range(400)]
    before = b"".join(lines)
    place = len(b"".join(lines[200:]))
    lines[200] = b"    edited\n"
    after = b"".join(lines)
    segmenter = Segmenter(SegmentKind.LINES, 128)
    moved = set((segmenter.ends(before) - len(before)).tolist()) ^ set((segmenter.ends(after) - len(after)).tolist())
    # Borders before the edit keep their distance to the beginning, borders after it to the end.
    moved = {border for border in moved if border > -place}
    assert len(moved) <= 4
    assert all(abs(border + place) < 1_000 for border in moved)


def test_stretches_of_a_long_document_leave_no_gap(monkeypatch):
    from megatron_proxy.compressors.segments import segmenter as segment

    document = b"".join(b"line %d\n" % i for i in range(1_000)) + b"y" * 900
    whole = Segmenter(SegmentKind.LINES, 64).ends(document)
    monkeypatch.setattr(segment, "_STRETCH", 512)
    ends = Segmenter(SegmentKind.LINES, 64).ends(document)
    assert b"".join(Segmenter(SegmentKind.LINES, 64).cut([document])) == document
    assert np.diff(ends, prepend=0).max() <= 64
    shared = np.intersect1d(whole, ends)
    assert len(shared) > 0.8 * len(whole)


@pytest.mark.long
def test_punkt_knows_the_abbreviations_of_its_corpus(sentences):
    assert [PROSE[0][a:b] for a, b in pairwise([0, *sentences.ends(PROSE[0]).tolist()])] == [
        b"Dr. Smith went home. ",
        b"He slept well. ",
        b"Dr. Jones, i.e. his friend, did not. ",
        b"Why?\n\n",
        b"Nobody knows.  ",
    ]
    assert sentences.ends(b"\xff\xfe. A b. C").tolist() == sentences.ends(b"zz. A b. C").tolist()


def test_punkt_is_trained_the_same_again():
    assert punkt.train(PROSE) == punkt.train(iter(PROSE))
    assert Punkt(punkt.train(PROSE)).parameters == punkt.train(PROSE)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff", b'{"abbrev_types": 3}', b"[" * 100_000])
def test_foreign_punkt_models_are_refused(content):
    with pytest.raises(CompressorError, match="not a Punkt model"):
        Punkt(content)


@pytest.mark.parametrize(
    "config",
    [{}, {"kind": "words", "max_bytes": 3}, *({"kind": "lines", "max_bytes": size} for size in (None, 64.5, math.inf))],
)
def test_foreign_settings_are_refused(config):
    with pytest.raises(CompressorError, match="not the settings of a segmenter"):
        Segmenter.from_config(config, {})


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ((SegmentKind.LINES, 0), "1 to 65535"),
        ((SegmentKind.LINES, 65_536), "1 to 65535"),
        ((SegmentKind.SENTENCES, 9), "with a Punkt"),
    ],
)
def test_settings_out_of_range_are_refused(settings, what):
    with pytest.raises(CompressorError, match=what):
        Segmenter(*settings)


def test_config_goes_there_and_back():
    segmenter = Segmenter(SegmentKind.LINES, 77)
    assert Segmenter.from_config(segmenter.config(), segmenter.files()) == segmenter
