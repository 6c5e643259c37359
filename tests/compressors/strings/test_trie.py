"""``trie``: counting against brute force, longest match against a plain loop, damaged files, round trips."""

from collections import Counter

import numpy as np
import pytest
from encoded_spans import spans_of
from hypothesis import given, settings
from hypothesis import strategies as st
from tries import trie_of

from megatron_proxy import compressors
from megatron_proxy.compressors.sample import sample
from megatron_proxy.compressors.strings.double_array import Walker
from megatron_proxy.compressors.strings.frequent_strings import most_frequent
from megatron_proxy.compressors.strings.longest_match import TRIE_FILE
from megatron_proxy.compressors.strings.string_set import _HEADER, MAX_LENGTH, _digest, from_bytes
from megatron_proxy.compressors.strings.trie import TrieCompressor, learn, symbol_starts
from megatron_proxy.errors import CompressorError

CORPUS = [b"the cat sat on the mat\n" * 3, b"the dog sat on the log\n" * 3, b"", "żółć\n".encode() * 4]


def build(documents=CORPUS, **options):
    return TrieCompressor.build(TrieCompressor.all_options(options), lambda: iter(documents))


def strings_of(trie):
    return [trie.string(256 + s) for s in range(len(trie))]


def learnt(segments, size, longest=8):
    data = np.frombuffer(b"".join(segments), np.uint8)
    ends = np.cumsum([len(segment) for segment in segments if segment], dtype=np.int64)
    return most_frequent(data, ends, np.arange(len(data), dtype=np.int32), size, longest)


def test_counts_by_hand():
    assert strings_of(learnt([b"abab", b"abc"], 10)) == [b"ab"]
    assert strings_of(learnt([b"ababab"], 10)) == [b"ab", b"ba", b"aba", b"bab", b"abab"]
    assert strings_of(learnt([b"ababab"], 3)) == [b"ab", b"ba", b"aba"]
    assert strings_of(learnt([b"ababab"], 10, longest=2)) == [b"ab", b"ba"]
    assert strings_of(learnt([], 10)) == []


few_bytes = st.lists(st.sampled_from([97, 98, 99]), max_size=40).map(bytes)


@pytest.mark.long
@settings(deadline=None)
@given(st.lists(few_bytes, max_size=4), st.integers(1, 30), st.integers(2, 6))
def test_counting_agrees_with_brute_force(segments, size, longest):
    counts = Counter(
        segment[i : i + n] for segment in segments for n in range(2, longest + 1) for i in range(len(segment) - n + 1)
    )
    expected = sorted((s for s, count in counts.items() if count > 1), key=lambda s: (-counts[s], len(s), s))
    assert strings_of(learnt(segments, size, longest)) == expected[:size]


def plain_matches(strings, data):
    """Longest match with a set of strings that is closed under prefixes."""
    found, begin = [], 0
    while begin < len(data):
        end = begin + 1
        while end < len(data) and data[begin : end + 1] in strings:
            end += 1
        found.append(data[begin:end])
        begin = end
    return found


@pytest.mark.long
@settings(deadline=None)
@given(st.lists(few_bytes.filter(lambda s: len(s) > 1), max_size=20), st.lists(few_bytes, max_size=3))
def test_walk_agrees_with_a_plain_loop(strings, segments):
    trie = trie_of(*strings)
    segments = [segment for segment in segments if segment]
    data = np.frombuffer(b"".join(segments), np.uint8)
    codes, code_ends = Walker(trie).encode(data, np.cumsum([len(s) for s in segments], dtype=np.int64))
    begin = 0
    for segment, end in zip(segments, code_ends, strict=True):
        matches = [trie.string(int(code)) for code in codes[begin:end]]
        assert matches == plain_matches(set(strings_of(trie)), segment)
        begin = end


def test_layout_holds_every_string_of_a_wide_trie():
    generator = np.random.default_rng(0)
    trie = trie_of(*(generator.integers(0, 256, 3, dtype=np.uint8).tobytes() for _ in range(5_000)))
    walker = Walker(trie)
    for number in (256, 300, 5_000, 255 + len(trie)):
        data = np.frombuffer(trie.string(number), np.uint8)
        codes, code_ends = walker.encode(data, np.array([len(data)]))
        assert (codes.tolist(), code_ends.tolist()) == ([number], [1])
    assert len(walker.cells) < 2 * len(trie)


def test_strings_that_cannot_be_laid_out_are_refused(monkeypatch):
    from megatron_proxy.compressors.strings import double_array

    monkeypatch.setattr(double_array, "_MAX_CELLS", 1_000)
    with pytest.raises(CompressorError, match="spread too thinly"):
        Walker(trie_of(b"abc"))


def test_rounds_start_where_symbols_start():
    data = np.frombuffer(b"abcabcabcabc", np.uint8)
    ends = np.array([12])
    trie = learn(data, ends, 2, 8, 1)
    assert strings_of(trie) == [b"ab", b"bc"]
    assert symbol_starts(trie, data, ends).tolist() == [0, 2, 3, 5, 6, 8, 9, 11]
    # No symbol starts with "bc" now, so its place goes to a string that one does start with.
    assert strings_of(learn(data, ends, 2, 8, 2)) == [b"ab", b"abc"]


def test_encodes_as_expected():
    compressor = build(symbols=3)
    assert strings_of(compressor.trie) == [b"at", b"e ", b"he"]
    assert compressor.encode(b"the cat").tolist() == [ord("t"), 258, ord(" "), ord("c"), 256]
    assert compressor.decode(np.array([116, 258, 32, 99, 256], np.uint16)) == b"the cat"
    assert compressor.symbol_bytes().tolist() == [2, 2, 2]
    assert compressor.num_symbols == 3


def test_spans_are_encoded_on_their_own():
    compressor = build(**{"segment-bytes": 32})
    document = b"".join(CORPUS) * 3
    encoded = compressor.encode_spans(document)
    assert len(encoded.byte_ends) > 3
    for part, codes in spans_of(encoded, document):
        assert 0 < len(part) <= 32
        assert compressor.trie.spell(codes) == part


@pytest.mark.long
@settings(deadline=None)
@given(st.lists(st.integers(-2, 400), max_size=20))
def test_decode_takes_only_what_encode_makes(codes):
    compressor = build()
    try:
        document = compressor.decode(np.array(codes, np.int64))
    except CompressorError:
        return
    assert compressor.encode(document).tolist() == codes


def test_same_corpus_same_fingerprint():
    assert build().fingerprint == build().fingerprint
    assert build(symbols=9).fingerprint != build(symbols=8).fingerprint


def test_a_corpus_without_anything_to_learn_leaves_literals():
    compressor = build([])
    assert compressor.num_symbols == 0
    assert compressor.encode(b"\x00a\xff").tolist() == [0, 97, 255]
    assert compressor.decode(np.array([0, 97, 255], np.uint8)) == b"\x00a\xff"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("symbols", 0),
        ("longest", 1),
        ("longest", 256),
        ("segment-bytes", 15),
        ("rounds", 0),
        ("candidates", 0.9),
        ("candidates", "many"),
        ("ends", "nowhere"),
    ],
)
def test_options_out_of_range_name_their_flag(name, value):
    with pytest.raises(CompressorError, match=f"--trie-{name}"):
        build(**{name: value})


def test_sample_is_bounded_and_follows_the_corpus():
    documents = [bytes([n]) * 10 for n in range(100)]
    taken = sample(lambda: iter(documents), 200)
    assert sum(map(len, taken)) == 200
    assert taken == sorted(taken)
    assert sample(lambda: iter(documents), 1_000) == documents
    assert max(map(len, sample(lambda: iter([b"x" * 1_000]), 80))) == 10


def packed(parents, labels, outputs=None, count=None):
    """A trie's file with any content and a right digest."""
    body = np.array(parents, "<i4").tobytes() + np.array(labels, np.uint8).tobytes()
    body += b"" if outputs is None else np.array(outputs, "<i4").tobytes()
    count = len(parents) if count is None else count
    return _HEADER.pack(b"MPtrie\x00\x01", count, outputs is not None, _digest(body)) + body


def test_the_file_is_read_back():
    trie = trie_of(b"abc", b"xy")
    outputs = np.arange(256 + len(trie), dtype=np.int32)
    again, values = from_bytes(trie.to_bytes(outputs), "here")
    assert strings_of(again) == [b"ab", b"abc", b"xy"]
    assert values.tolist() == outputs.tolist()
    assert from_bytes(packed([], []), "here")[1] is None


@pytest.mark.parametrize(
    "content",
    [
        packed([256], [1]),
        packed([-1], [1]),
        packed([2**31 - 1], [1]),
        packed([97, 97], [98, 98]),
        packed([0, *range(256, 255 + MAX_LENGTH)], [0] * MAX_LENGTH),
        packed([97], [98], count=2),
        packed([97], [98], count=2**32 - 1),
        packed([97], [98], outputs=[0]),
        packed([97], [98])[:-1],
        packed([97], [98]) + b"\0",
        b"",
        b"MPtrie",
    ],
)
def test_a_file_that_is_no_trie_is_refused(content):
    with pytest.raises(CompressorError, match="here"):
        from_bytes(content, "here")


@pytest.mark.long
@settings(deadline=None)
@given(st.data())
def test_any_changed_byte_is_noticed(data):
    content = bytearray(build().files()[TRIE_FILE])
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(CompressorError):
        compressors.load("trie", build().config(), {TRIE_FILE: bytes(content)})


def test_a_file_of_another_compressor_is_refused():
    outputs = packed([97], [98], outputs=[0] * 257)
    with pytest.raises(CompressorError, match="another compressor"):
        compressors.load("trie", build().config(), {TRIE_FILE: outputs})
    with pytest.raises(CompressorError, match="missing"):
        compressors.load("trie", build().config(), {})
