"""Which strings become symbols, and where matches end: against a plain loop, and by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tries import numbered_trie

from megatron_proxy import compressors
from megatron_proxy.compressors.segments.segmenter import Segmenter, SegmentKind
from megatron_proxy.compressors.strings.double_array import Walker
from megatron_proxy.compressors.strings.longest_match import TRIE_FILE
from megatron_proxy.compressors.strings.select_symbols import most_used, with_deletions
from megatron_proxy.compressors.strings.string_set import NO_CODE
from megatron_proxy.compressors.strings.trie import TrieCompressor
from megatron_proxy.errors import CompressorError

LINES = Segmenter(SegmentKind.LINES, 64)


def coded(*symbols):
    """A compressor that ends at words, with these symbols: their prefixes have no code."""
    trie, numbers = numbered_trie(*symbols)
    codes = np.full(256 + len(trie), NO_CODE, np.int32)
    codes[:256] = np.arange(256)
    codes[[numbers[symbol] for symbol in symbols]] = 256 + np.arange(len(symbols))
    return TrieCompressor(trie, LINES, codes, words=True)


def matches(compressor, document):
    return [compressor.decode(np.array([code])) for code in compressor.encode(document)]


def rank(document, end):
    """How good it is that a match ends before byte ``end``."""
    if end == len(document):
        return 3
    before, after = document[end - 1], document[end]
    is_word = lambda byte: byte >= 0x80 or chr(byte).isalnum()  # noqa: E731
    if is_word(after) and not is_word(before):
        return 2
    if after == ord(" ") != before:
        return 1
    return 1 if before >= 0x80 and not 0x80 <= after < 0xC0 else 0


def plain_matches(symbols, document, words):
    """What the walk does, without a trie."""
    found, begin = [], 0
    while begin < len(document):
        ends = [begin + n for n in range(1, 9) if n == 1 or document[begin : begin + n] in symbols]
        ends = [end for end in ends if end <= len(document)]
        end = max(ends, key=lambda end: (rank(document, end) if words else 0, end))
        found.append(document[begin:end])
        begin = end
    return found


texts = st.text("ab_ .\néż語", max_size=30).map(str.encode) | st.lists(
    st.sampled_from(b"a b\xc3\xa9"), max_size=20
).map(bytes)


@pytest.mark.long
@settings(deadline=None)
@given(st.lists(texts.map(lambda text: text[:8]).filter(lambda text: len(text) > 1), max_size=12), texts, st.booleans())
def test_the_walk_agrees_with_a_plain_loop(symbols, document, words):
    trie, numbers = numbered_trie(*symbols)
    codes = np.full(256 + len(trie), NO_CODE, np.int32)
    codes[:256] = np.arange(256)
    for symbol in symbols:
        codes[numbers[symbol]] = numbers[symbol]
    ends = np.array([len(document)] if document else [], np.int64)
    found, _ = Walker(trie, codes).encode_to_borders(np.frombuffer(document, np.uint8), ends, words=words)
    assert [trie.string(int(code)) for code in found] == plain_matches(set(symbols), document, words)


def test_matches_end_where_words_begin():
    compressor = coded(b"the ", b"the ca", b"cat", b"cat s", b"at")
    assert matches(compressor, b"the cat") == [b"the ", b"cat"]
    # "the ca" is longer, but ends inside a word. A segment's end is as good as any.
    assert matches(compressor, b"the ca") == [b"the ca"]
    # "cat " has no code, so no symbol ends where the word begins. Before the space is the next best place.
    assert matches(compressor, b"cat sat") == [b"cat", b" ", b"s", b"at"]
    # Between letters one place is like the other.
    assert matches(coded(b"ab", b"abc"), b"abcd") == [b"abc", b"d"]
    assert matches(coded(b"a_", b"a_b"), b"a_bc") == [b"a_", b"b", b"c"]


def test_a_match_ends_after_a_whole_character():
    compressor = coded("語".encode(), "語".encode() + b"\xe8\xaa", b"ab", b"ab\xc3")
    assert matches(compressor, "語語語".encode()) == ["語".encode()] * 3
    # In no string of these does a character end: as late as it can.
    assert matches(compressor, "abé".encode()) == [b"ab\xc3", b"\xa9"]


def test_what_is_not_used_gets_no_symbol():
    data = np.frombuffer(b"abcabcabcabc", np.uint8)
    candidates, _ = numbered_trie(b"abc", b"bca")
    trie, codes = most_used(candidates, 1, data, np.array([12]), words=False)
    assert [trie.string(256 + s) for s in range(len(trie))] == [b"ab", b"abc"]
    assert codes[256:].tolist() == [NO_CODE, 256]
    assert codes[:256].tolist() == list(range(256))
    # With room for all of them all are symbols, in the candidates' order.
    trie, codes = most_used(candidates, len(candidates), data, np.array([12]), words=False)
    assert trie.parents.tolist() == candidates.parents.tolist()
    assert codes.tolist() == list(range(256 + len(candidates)))


def test_of_equally_used_strings_the_first_are_taken():
    candidates, _ = numbered_trie(b"xy", b"xz")
    trie, _ = most_used(candidates, 1, np.frombuffer(b"ab", np.uint8), np.array([2]), words=True)
    assert [trie.string(256 + s) for s in range(len(trie))] == [b"xy"]


def test_deletions_take_whole_characters():
    text = "aé語" * 2_000
    data, ends = with_deletions(np.frombuffer(text.encode(), np.uint8), np.array([6_000, len(text.encode())]))
    left = data.tobytes().decode()
    assert len(left) == pytest.approx(0.9 * len(text), rel=0.02)
    assert ends.tolist() == [len(data[: ends[0]]), len(data)]
    assert 0.85 < ends[0] / 6_000 < 0.95
    again, _ = with_deletions(np.frombuffer(text.encode(), np.uint8), np.array([len(text.encode())]))
    assert again.tobytes() == data.tobytes()


def test_deletions_do_not_depend_on_blocks(monkeypatch):
    from megatron_proxy.compressors.strings import select_symbols

    data = np.frombuffer("żółć and gęś ".encode() * 40, np.uint8)
    whole, _ = with_deletions(data, np.array([len(data)]))
    monkeypatch.setattr(select_symbols, "_BLOCK_BYTES", 7)
    assert with_deletions(data, np.array([len(data)]))[0].tobytes() == whole.tobytes()


def test_a_segment_that_is_deleted_is_gone():
    data = np.frombuffer(b"x" * 200, np.uint8)
    kept, ends = with_deletions(data, np.arange(1, 201))
    assert len(ends) == len(kept) < 200
    assert (np.diff(ends) == 1).all()
    assert with_deletions(data[:0], np.empty(0, np.int64))[1].tolist() == []


def test_plain_ones_are_stored_as_ever():
    plain = TrieCompressor(numbered_trie(b"ab")[0], LINES)
    assert plain.config() == {"segmenter": LINES.config()}
    assert plain.files() == {TRIE_FILE: plain.trie.to_bytes()}


def test_round_trip_and_what_a_symbol_stands_for():
    compressor = coded(b"the ", b"the ca", b"cat")
    again = compressors.load("trie", compressor.config(), compressor.files())
    assert again.fingerprint == compressor.fingerprint
    assert again.encode(b"the cat").tolist() == [256, 258]
    assert again.decode(np.array([256, 258])) == b"the cat"
    assert again.num_symbols == 3
    assert again.symbol_bytes().tolist() == [4, 6, 3]
    with pytest.raises(CompressorError, match="another way"):
        again.decode(np.array([ord("c"), ord("a"), ord("t")]))


def test_codes_that_are_not_one_each_are_refused():
    trie, _ = numbered_trie(b"ab", b"ac")
    for codes in ([256, 256], [257, 258], [NO_CODE, 257]):
        content = trie.to_bytes(np.array([*range(256), *codes], np.int32))
        with pytest.raises(CompressorError, match="one code each"):
            compressors.load("trie", {"segmenter": LINES.config(), "ends": "words"}, {TRIE_FILE: content})
    moved = trie.to_bytes(np.array([1, 0, *range(2, 258)], np.int32))
    with pytest.raises(CompressorError, match="one code each"):
        compressors.load("trie", {"segmenter": LINES.config(), "ends": "words"}, {TRIE_FILE: moved})


def test_words_and_candidates_from_options():
    options = TrieCompressor.all_options({"symbols": 12, "ends": "words", "candidates": 3.0})
    document = b"the cat sat on the mat and the dog sat on the log\n" * 20
    compressor = TrieCompressor.build(options, lambda: iter([document]))
    assert compressor.num_symbols == 12
    assert len(compressor.trie) > 12
    plain = TrieCompressor.build(options | {"ends": "anywhere", "candidates": 1.0}, lambda: iter([document]))
    assert len(compressor.encode(document)) < len(plain.encode(document))
    assert compressor.decode(compressor.encode(document)) == document
