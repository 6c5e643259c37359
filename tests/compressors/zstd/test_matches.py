"""zstd's form `matches`: what zstd chose is read off its blocks exactly, named the same everywhere, and undone."""

import contextlib

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from megatron_proxy import compressors
from megatron_proxy.compressors.segments.segmenter import Segmenter, SegmentKind
from megatron_proxy.compressors.words import PADDING, hashed, same, words_of
from megatron_proxy.compressors.zstd.compressor import ZstdCompressor
from megatron_proxy.compressors.zstd.matches import MatchForm, _name_segment
from megatron_proxy.compressors.zstd.phrases import choose_phrases, read_phrases, write_phrases
from megatron_proxy.compressors.zstd.sequences import read_matches
from megatron_proxy.compressors.zstd.suffixes import buckets, find, suffix_array
from megatron_proxy.compressors.zstd.tables import reader_for
from megatron_proxy.errors import CompressorError

CORPUS = [
    b"".join(
        b"def function_%d(argument):\n    return argument + %d\n\n\n" % (i, i * i) for i in range(start, start + 40)
    )
    for start in range(0, 400, 40)
]


def build(corpus=CORPUS, **options) -> ZstdCompressor:
    small = {"dictionary-bytes": 2_048, "phrases": 64}
    return ZstdCompressor.build(ZstdCompressor.all_options(small | options), lambda: iter(corpus))


@pytest.fixture(scope="module")
def compressor():
    return build()


def padded(text: bytes) -> np.ndarray:
    return np.frombuffer(text + PADDING, dtype=np.uint8)


def read(frame: bytes, size: int, dictionary: bytes = b"") -> list[tuple[int, int, int]]:
    """Matches of one frame of a text of ``size`` bytes."""
    found = np.empty((size // 3 + 1, 3), dtype=np.int64)
    reader, _ = reader_for(dictionary)
    data = padded(frame)
    count = read_matches(data, words_of(data), np.array([size]), reader, found)
    return [tuple(match) for match in found[:count].tolist()] if count >= 0 else []


def frame_of(text: bytes, level: int, zdict=None) -> bytes:
    parameters = zstandard.ZstdCompressionParameters.from_level(
        level,
        format=zstandard.FORMAT_ZSTD1_MAGICLESS,
        write_content_size=False,
        write_checksum=False,
        write_dict_id=False,
    )
    return zstandard.ZstdCompressor(compression_params=parameters, dict_data=zdict).compress(text)


texts = st.lists(
    st.sampled_from([b"abc", b"function_", b"argument", b" ", b"\n", b"0123456789", b"x", b"\x00" * 9]), max_size=400
)


@pytest.mark.long
@settings(max_examples=150, deadline=None)
@given(parts=texts, level=st.sampled_from([-7, 1, 3, 6, 12, 19, 22]))
def test_what_is_read_rebuilds_the_text(parts, level):
    text = b"".join(parts) + b"."
    out = bytearray()
    for begin, end, offset in read(frame_of(text, level), len(text)):
        out += text[len(out) : begin]
        assert 0 < offset <= begin
        for _ in range(end - begin):
            out.append(out[-offset])
        assert text.startswith(out)
    assert len(out) <= len(text)


@pytest.mark.long
def test_tables_of_every_kind_are_read():
    """Long texts give literals and sequences in all their encodings: Huffman in one stream and in four, FSE, RLE."""
    random = np.random.default_rng(3)
    words = [random.bytes(size) for size in (3, 4, 5, 9, 17, 40, 150, 700)]
    for level in (1, 5, 12, 19):
        for weights in ([1] * 8, [64, 32, 16, 8, 4, 2, 1, 1], [1, 0, 0, 0, 0, 0, 0, 0]):
            shares = np.array(weights) / sum(weights)
            pieces = [words[i] + bytes([random.integers(97, 123)]) for i in random.choice(8, 900, p=shares)]
            text = b"".join(pieces)[:60_000]
            matches = read(frame_of(text, level), len(text))
            assert len(matches) > 100
            for begin, end, offset in matches:
                assert text[begin:end] == (text[begin - offset : begin] * (end - begin))[: end - begin]


def test_frames_that_are_not_of_the_text_are_noticed(compressor):
    document = CORPUS[1]
    ends = compressor.segmenter.ends(document)
    frames = compressor._frames(document, ends)
    for other in (document[::-1], b"?" * len(document)):
        with pytest.raises(CompressorError, match="cannot be read here"):
            compressor._form.encode(frames, padded(other), ends, np.uint16)
    with pytest.raises(CompressorError, match="cannot be read here"):
        compressor._form.matches(frames, ends - 1)


class TestCodes:
    """A form with a dictionary of 26 letters, segments of 64 bytes, and two phrases."""

    form = MatchForm(b"abcdefghijklmnopqrstuvwxyz", 64, [b"hello", b"abcd"])
    lengths, distances, phrases, sources = 256, 256 + 65, 256 + 129, 256 + 131
    segmenter = Segmenter(SegmentKind.FIXED, 64)

    def decode(self, codes):
        return self.form.decode(np.array(codes, dtype=np.int32), self.segmenter)

    def test_symbols(self):
        assert self.form.num_symbols == 65 + 64 + 2 + 26
        sizes = self.form.symbol_bytes()
        assert sizes[:65].tolist() == list(range(65))
        assert sizes[65:].tolist() == [0] * 64 + [5, 4] + [0] * 26

    def test_literals_phrases_sources_and_distances(self):
        assert self.decode([72, 105]) == b"Hi"
        assert self.decode([self.phrases, 33, self.phrases + 1]) == b"hello!abcd"
        assert self.decode([self.sources + 3, self.lengths + 4]) == b"defg"
        assert self.decode([65, 66, self.distances + 2, self.lengths + 5]) == b"ABABABA"

    @pytest.mark.parametrize(
        "codes",
        [
            [lengths + 3],
            [sources + 3],
            [sources + 3, 65],
            [sources + 3, lengths],
            [sources + 24, lengths + 3],
            [65, distances + 2, lengths + 3],
            [65, distances, lengths + 3],
            [65, distances + 1],
            [sources + 3, phrases],
        ],
    )
    def test_other_codes_are_refused(self, codes):
        with pytest.raises(CompressorError, match="no matches"):
            self.decode(codes)

    def test_matches_stay_in_their_segment(self):
        assert len(self.decode([65] * 64 + [self.phrases])) == 69
        for crossing in ([65] * 62 + [self.phrases], [65] * 64 + [66, self.distances + 2, self.lengths + 3]):
            with pytest.raises(CompressorError, match="crosses"):
                self.decode(crossing)


def test_a_string_is_named_the_same_everywhere():
    content = b"__same__ 1 __same__ 2 __same__ 3"
    form = MatchForm(content, 64, [b"__"])
    text = padded(b"xx__same__yy")
    codes = set()
    for place in (0, 11, 22):
        # A match with each of the places: from 2 to 10 in the text.
        matches = np.array([[2, 10, 2 + len(content) - place]])
        out = np.empty(12 + 8, dtype=np.int32)
        count = _name_segment(text, words_of(text), 0, 12, matches, 1, form._names, out, 0)
        codes.add(tuple(out[:count].tolist()))
    assert len(codes) == 1
    (found,) = codes
    assert (found[:2], found[3], found[4:]) == ((120, 120), 256 + 8, (121, 121))


@settings(max_examples=150, deadline=None)
@given(parts=texts, other=st.binary(max_size=40))
def test_everything_comes_back(compressor, parts, other):
    document = b"".join(parts[:40]) + other + CORPUS[0][:300]
    encoded = compressor.encode_spans(document)
    assert compressor.decode(encoded.codes) == document
    sizes = compressor.symbol_bytes()
    codes = encoded.codes.astype(np.int64)
    assert sizes[codes[codes >= 256] - 256].sum() + np.count_nonzero(codes < 256) == len(document)


@pytest.mark.parametrize("segment", ["lines", "fixed", "sentences"])
@pytest.mark.parametrize("level", [-100, 1, 6, 19, 22])
@pytest.mark.parametrize("segment_bytes", [16, 5_000, 65_535])
def test_every_kind_comes_back(segment, level, segment_bytes):
    compressor = build(level=level, segment=segment, **{"segment-bytes": segment_bytes})
    random = np.random.default_rng(level + 100)
    documents = (b"".join(CORPUS) * 3, random.bytes(7_000), b"\x00" * 70_000, b"\r\n\xff", "日本語🙂".encode() * 99)
    for document in documents:
        encoded = compressor.encode_spans(document)
        assert compressor.decode(encoded.codes) == document
        assert encoded.codes.dtype == compressor.vocabulary.code_dtype
        assert np.diff(encoded.code_ends, prepend=0).max() <= segment_bytes


def test_frequent_matches_become_phrases(compressor):
    assert len(compressor.phrases) == 64
    assert any(b"argument" in phrase for phrase in compressor.phrases)
    without = build(phrases=0)
    assert without.files().keys() == {"dictionary.zdict"}
    assert len(compressor.encode(CORPUS[3])) < len(without.encode(CORPUS[3]))


def test_matches_are_told_better_than_bytes():
    plain = build(form="bytes")
    document = CORPUS[5]
    assert len(build().encode(document)) < len(plain.encode(document))


def test_without_a_dictionary_only_the_segment_is_matched():
    compressor = build(**{"dictionary-bytes": 0, "phrases": 0})
    document = b"no two words match here, but these: match here, but these\n"
    codes = compressor.encode(document)
    assert compressor.decode(codes) == document
    assert codes.max() <= 256 + 2 * 256
    assert compressor.num_symbols == 2 * 256 + 1


@pytest.mark.long
@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_codes_never_crash(compressor, data):
    codes = compressor.encode(CORPUS[1][:900]).astype(np.int64)
    limit = compressor.vocabulary.num_codes - 1
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(codes) - 1))
        codes = np.concatenate(
            [codes[:place], data.draw(st.lists(st.integers(0, limit), max_size=2)), codes[place + 1 :]]
        )
    with contextlib.suppress(CompressorError):
        compressor.decode(codes.astype(np.int64))


@pytest.mark.long
@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damaged_dictionaries_never_crash(compressor, data):
    content = bytearray(compressor.dictionary)
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, 300))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.sampled_from([len(content), 100, 9, 8]))
    files = compressor.files() | {"dictionary.zdict": bytes(content[:cut])}
    with contextlib.suppress(CompressorError):
        damaged = compressors.load("zstd", compressor.config(), files)
        damaged.decode(damaged.encode(CORPUS[0][:500]))


@given(st.lists(st.binary(min_size=1, max_size=255), unique=True, max_size=20))
def test_phrases_go_into_a_file_and_back(phrases):
    assert read_phrases(write_phrases(phrases)) == phrases


@pytest.mark.parametrize("content", [b"\x00", b"\x02a", b"\x01a\x01a", b"\xff"])
def test_damaged_phrases_are_refused(content):
    with pytest.raises(CompressorError, match="phrases is damaged"):
        read_phrases(content)


def test_phrases_are_ranked_by_use_then_alphabet():
    assert choose_phrases([b"b", b"a", b"b", b"a", b"c", b"d" * 256, b"d" * 256], 5) == [b"a", b"b"]


@pytest.mark.long
@settings(deadline=None)
@given(st.binary(min_size=1, max_size=40), st.binary(max_size=3), st.integers(0, 60))
def test_strings_are_compared_to_their_last_byte_and_no_further(string, before, changed):
    one, other = padded(string + b"x"), padded(before + string + b"y")
    assert same(words_of(one), 0, words_of(other), len(before), len(string))
    assert hashed(words_of(one), 0, len(string)) == hashed(words_of(other), len(before), len(string))
    if changed < len(string):
        odd = bytearray(string)
        odd[changed] ^= 1
        other = padded(before + bytes(odd))
        assert not same(words_of(one), 0, words_of(other), len(before), len(string))
        assert hashed(words_of(one), 0, len(string)) != hashed(words_of(other), len(before), len(string))


@settings(deadline=None)
@given(st.text("ab", max_size=60).map(str.encode), st.text("ab", min_size=2, max_size=5).map(str.encode))
def test_suffix_arrays_find_what_is_there(text, string):
    content = np.frombuffer(text, dtype=np.uint8)
    suffixes = suffix_array(content, 64)
    assert suffixes.tolist() == sorted(range(len(text)), key=lambda place: text[place:])
    found = find(content, suffixes, buckets(content, suffixes), np.frombuffer(string, dtype=np.uint8), 0, len(string))
    assert found == -1 if string not in text else text[found:].startswith(string)
