"""zstd: codes of known blocks, settings, dictionaries, forged streams."""

import contextlib

import numpy as np
import pytest
import zstandard
from encoded_spans import spans_of
from hypothesis import given, settings
from hypothesis import strategies as st

from megatron_proxy import compressors
from megatron_proxy.compressors import library_probe
from megatron_proxy.compressors.zstd import blocks
from megatron_proxy.compressors.zstd.compressor import ZstdCompressor
from megatron_proxy.errors import CompressorError

CORPUS = [
    b"".join(
        b"def function_%d(argument):\n    return argument + %d\n\n\n" % (i, i * i) for i in range(start, start + 40)
    )
    for start in range(0, 400, 40)
]
SMALL = {"dictionary-bytes": 4_096, "form": "bytes"}


def build(corpus=CORPUS, **options) -> ZstdCompressor:
    return ZstdCompressor.build(ZstdCompressor.all_options(SMALL | options), lambda: iter(corpus))


@pytest.fixture(scope="module")
def compressor():
    return build()


def test_raw_blocks_are_literal_bytes(compressor):
    assert compressor.encode(b"xq\xff").tolist() == [512, ord("x"), ord("q"), 255]


def codes_of(frame: bytes) -> np.ndarray:
    codes = np.empty(len(frame), dtype=np.uint16)
    return codes[: blocks.codes_of_frames(np.frombuffer(frame, dtype=np.uint8), codes, np.empty(1, np.int64))]


def test_rle_blocks_tell_their_length(compressor):
    # Descriptor, window, block header (last, RLE, 200 bytes), the byte: RFC 8878, 3.1.1.
    codes = codes_of(bytes([0, 56, *(200 << 3 | 1 << 1 | 1).to_bytes(3, "little"), ord("=")]))
    assert codes.tolist() == [513, ord("="), 256 + 200, 256]
    assert compressor.decode(codes) == b"=" * 200


def test_segments_of_several_blocks_go_on_with_another_marker():
    compressor = build(segment="fixed")
    writer = compressor._context.compressobj()
    frame = writer.compress(CORPUS[0][:100]) + writer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
    frame += writer.compress(b"qxz") + writer.flush()
    codes = codes_of(frame)
    assert codes[codes >= 512].tolist() in ([514, 515], [514, 515, 515])
    assert compressor.decode(codes[:-1] if codes[-1] == 515 else codes) == CORPUS[0][:100] + b"qxz"


def test_compressed_blocks_are_payload_after_one_marker(compressor):
    document = CORPUS[3]
    encoded = compressor.encode_spans(document)
    for part, codes in spans_of(encoded, document):
        frame = compressor._context.compress(part)
        assert frame[0] == 0
        kind = frame[2] >> 1 & 3
        assert codes[0] == 512 + kind
        assert (codes[1:] & 255).astype(np.uint8).tobytes() == frame[5:]
    assert len(document) > 3 * len(encoded.codes)


def test_literals_that_zstd_left_raw_are_literal_bytes():
    codes = build(level=-5).encode(CORPUS[0][:60] + b"zebra_quagga" + CORPUS[0][:60])
    assert codes[0] == 514
    assert b"zebra_quagga" in bytes((codes[codes < 256]).tolist())


def test_spans_decode_alone(compressor):
    document = b"".join(CORPUS)
    encoded = compressor.encode_spans(document)
    assert len(encoded.byte_ends) > 20
    for part, codes in spans_of(encoded, document):
        assert compressor.decode(codes) == part


def test_batches_do_not_show(compressor, monkeypatch):
    document = b"".join(CORPUS)
    whole = compressor.encode_spans(document)
    monkeypatch.setattr("megatron_proxy.compressors.zstd.compressor._BATCH", 1_000)
    parts = compressor.encode_spans(document)
    assert whole.codes.tolist() == parts.codes.tolist()
    assert whole.code_ends.tolist() == parts.code_ends.tolist()
    several = [b"", CORPUS[0][:700], CORPUS[1][:200], document, b"", CORPUS[2][:90]]
    for one, encoded in zip(several, compressor.encode_each(several), strict=True):
        alone = compressor.encode_spans(one)
        assert encoded.codes.tolist() == alone.codes.tolist()
        assert encoded.code_ends.tolist() == alone.code_ends.tolist()


@pytest.mark.parametrize("segment_bytes", [16, 65_534])
@pytest.mark.parametrize("level", [-100, 1, 22])
@pytest.mark.parametrize("segment", ["lines", "fixed", "sentences"])
def test_every_kind_comes_back(segment, segment_bytes, level):
    compressor = build(level=level, segment=segment, **{"segment-bytes": segment_bytes})
    random = np.random.default_rng(level + 100)
    for document in (
        b"".join(CORPUS) * 4,
        random.bytes(70_000),
        b"\x00" * 200_000,
        b"\r\n\xff",
        "日本語🙂".encode() * 999,
    ):
        encoded = compressor.encode_spans(document)
        assert compressor.decode(encoded.codes) == document
        assert np.diff(encoded.byte_ends, prepend=0).max() <= segment_bytes


@pytest.mark.long
@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=600) | st.lists(st.sampled_from(CORPUS[0].split(b" "))).map(b" ".join))
def test_everything_comes_back(compressor, document):
    assert compressor.decode(compressor.encode(document)) == document


@pytest.fixture(scope="module")
def whole():
    return build(segment="document")


class TestWholeDocuments:
    def test_is_an_ordinary_frame(self):
        whole = build(segment="document", **{"dictionary-bytes": 0})
        codes = whole.encode(CORPUS[0])
        assert (whole.num_symbols, whole.literals, whole.spans, codes.dtype) == (256, False, False, np.uint8)
        assert zstandard.decompress(codes.tobytes()) == CORPUS[0]
        assert whole.decode(whole.encode(b"")) == b""
        assert len(whole.encode(b"")) == 0

    def test_uses_the_dictionary(self, whole):
        without = build(segment="document", **{"dictionary-bytes": 0})
        assert len(whole.encode(CORPUS[2])) < len(without.encode(CORPUS[2]))
        assert whole.decode(whole.encode(CORPUS[2])) == CORPUS[2]

    def test_forged_sizes_cost_nothing(self, whole):
        zeros = zstandard.ZstdCompressor(level=1).compress(bytes(1 << 20))
        parameters = zstandard.get_frame_parameters(zeros)
        assert parameters.content_size == 1 << 20
        unsized = zstandard.ZstdCompressor(level=1, write_content_size=False).compress(bytes(1 << 20))
        two = zeros + zeros
        lying = bytearray(zeros)
        place = bytes(lying).index((1 << 20).to_bytes(4, "little"))
        lying[place : place + 4] = (0x7FFFFFFF).to_bytes(4, "little")
        for frame in (unsized, two, bytes(lying), zeros[:-1], zeros + b"x", b"\x28\xb5\x2f\xfd", b"nonsense"):
            with pytest.raises(CompressorError):
                whole.decode(np.frombuffer(frame, dtype=np.uint8))


FORGED = {
    "no marker": [97],
    "payload first": [256],
    "a further block first": [515, 97],
    "empty block": [512],
    "payload in a raw block": [512, 97, 256],
    "short RLE": [513, 97],
    "RLE of payload": [513, 256, 257, 256],
    "RLE of length 0": [513, 97, 256, 256],
    "RLE too long": [513, 97, 511, 511],
    "literals hidden as payload": [514, 256 + 8, 256 + 97, 256],
    "nonsense": [514, 300, 301, 302, 303, 304],
    "a marker that is none": [518, 97],
    "segments cut elsewhere": [512, 97, 512, 98],
    "no codes": [-1],
}


@pytest.mark.parametrize("codes", FORGED.values(), ids=FORGED.keys())
def test_forged_codes_are_refused(compressor, codes):
    with pytest.raises(CompressorError):
        compressor.decode(np.array(codes))


@pytest.mark.long
@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_codes_never_crash(compressor, data):
    codes = compressor.encode(CORPUS[1][:900])
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(codes) - 1))
        codes = np.concatenate(
            [codes[:place], data.draw(st.lists(st.integers(0, 517), max_size=2)), codes[place + 1 :]]
        )
    with contextlib.suppress(CompressorError):
        compressor.decode(codes.astype(np.uint16))


def test_options_out_of_range_name_the_flag():
    for name, value in [("level", 23), ("segment-bytes", 15), ("dictionary-bytes", -1), ("segment", "words")]:
        with pytest.raises(CompressorError, match=f"--zstd-{name}"):
            build(**{name: value})
    with pytest.raises(CompressorError, match=r"--zstd-segment-bytes: 65535 is .* to 65534"):
        build(**{"segment-bytes": 65_535})


def test_small_corpora_get_a_plain_dictionary_or_none():
    plain = build(corpus=[b"only a few bytes here"])
    assert plain.config()["dictionary"] == "raw"
    assert plain.files() == {"dictionary.zdict": b"only a few bytes here"}
    assert plain.decode(plain.encode(b"only a few bytes here, and there")) == b"only a few bytes here, and there"
    for nothing in ([], [b""], [b"tiny"]):
        none = build(corpus=nothing)
        assert none.config()["dictionary"] == "none"
        assert none.files() == {}


def test_training_is_deterministic(compressor):
    assert build().files() == compressor.files()
    assert build().fingerprint == compressor.fingerprint


@pytest.mark.parametrize("change", [{"level": "x"}, {"segmenter": None}, {"dictionary": "huge"}, {"probe": 3}])
def test_foreign_configurations_are_refused(compressor, change):
    with pytest.raises(CompressorError):
        compressors.load("zstd", compressor.config() | change, compressor.files())


def test_missing_or_damaged_dictionaries_are_refused(compressor):
    with pytest.raises(CompressorError, match=r"dictionary\.zdict"):
        compressors.load("zstd", compressor.config(), {})
    with pytest.raises(CompressorError):
        compressors.load("zstd", compressor.config(), {"dictionary.zdict": b"not a dictionary"}).encode(b"x")


def test_another_library_may_decode_but_not_encode(compressor):
    other = compressors.load("zstd", compressor.config() | {"probe": "0" * 16}, compressor.files())
    assert other.decode(compressor.encode(CORPUS[0])) == CORPUS[0]
    with pytest.raises(CompressorError, match=r"zstd \d.*other bytes"):
        other.encode(CORPUS[0])
    assert other.fingerprint != compressor.fingerprint


def test_the_probe_text_never_changes():
    assert len(library_probe.text()) == 32_768
    assert library_probe.digest(bytes) == "c8d6f0bf478708ef"


def test_markers_lie_behind_the_payload():
    assert blocks.MARKERS + 6 == 256 + blocks.NUM_SYMBOLS
