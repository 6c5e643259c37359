"""``neural-ac``: the trie against predictor and coder step by step, codes by hand, the fuzzy way back."""

import itertools

import numpy as np
import pytest
from encoded_spans import spans_of
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_windows import reference_codes

from megatron_proxy import compressors
from megatron_proxy.compressors.byte_lm.network import ByteLM, LmPredictor, Shape
from megatron_proxy.compressors.byte_lm.neural_ac import NeuralAcCompressor
from megatron_proxy.compressors.byte_lm.predict import CountPredictor
from megatron_proxy.compressors.byte_lm.windows import likeliest, window_codes
from megatron_proxy.compressors.strings.enumerate_strings import INTERVAL_BITS, CompiledStrings, compile_windows
from megatron_proxy.compressors.strings.longest_match import TRIE_FILE
from megatron_proxy.errors import CompressorError

CORPUS = [b"the cat sat on the mat and the dog sat on the log\n" * 4, b"", "żółć, żółw\n".encode() * 4]
TEXT = b"the cat on the log sat.\nthe dig \xff\x00 and the mat"


def options_with(**given_options):
    options = {name.replace("_", "-"): value for name, value in given_options.items()}
    return NeuralAcCompressor.all_options(options)


def build(predictor=None, bits=12, longest=20, border=None):
    """A compressor of what ``predictor`` says; without one, as a user builds it, from counts."""
    if predictor is None:
        options = options_with(counts=1.0, bits=bits, longest=longest, border=border or 0.0)
        return NeuralAcCompressor.build(options, lambda: iter(CORPUS))
    compiled = compile_windows(predictor, bits, longest, border)
    return NeuralAcCompressor.of_windows(compiled, bits, build(bits=bits).segmenter)


def counts():
    data = np.frombuffer(b"".join(CORPUS), np.uint8)
    return CountPredictor(data, np.array([len(data)]), np.arange(len(data), dtype=np.int32))


def tiny_lm(seed):
    model = ByteLM(Shape(8, 2), seed)
    # Drawn weights predict all bytes nearly alike; sharpen them, so that windows hold several bytes.
    model.output.weight.data *= 60
    return LmPredictor(model)


def reference(compressor, predictor, document, border=None, longest=20):
    """The codes of a document, segment by segment, the slow way."""
    codes, begin = [], 0
    for end in compressor.segmenter.ends(document).tolist():
        codes += reference_codes(document[begin:end], predictor, compressor.bits, longest, border)
        begin = end
    return codes


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("border", [None, 2.0])
def test_the_trie_says_what_counts_and_coder_say(bits, border):
    compressor = build(counts(), bits, border=border)
    for document in (TEXT, CORPUS[0], CORPUS[2], bytes(range(256)), b"", b"the"):
        assert compressor.encode(document).tolist() == reference(compressor, counts(), document, border)


@pytest.mark.long
@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("border", [None, 3.0])
def test_the_trie_says_what_the_model_and_coder_say(bits, border):
    predictor = tiny_lm(bits)
    compressor = build(predictor, bits, border=border)
    generator = np.random.default_rng(bits)
    likely = compressor.decode(256 + compressor._codes[generator.integers(256, 256 + len(compressor.trie), 40)])
    for document in (likely, likely[::-1], TEXT, bytes(range(256))):
        assert compressor.encode(document).tolist() == reference(compressor, predictor, document, border)
    assert compressor.trie.lengths.max() > 3


@pytest.mark.long
@settings(deadline=None, max_examples=30)
@given(st.lists(st.sampled_from([*b"the catdogson", 0xFF]), max_size=60).map(bytes))
def test_they_agree_on_any_string(document):
    compressor = build(counts(), 12)
    assert compressor.encode(document).tolist() == reference(compressor, counts(), document)


def test_codes_are_the_first_multiples_in_their_intervals():
    unit = 1 << (INTERVAL_BITS - 8)
    lows, widths = np.zeros(258, np.int64), np.zeros(258, np.int64)
    lows[[97, 98, 256, 257]] = 0, 3 * unit + 1, 0, 2 * unit - 1
    widths[[97, 98, 256, 257]] = 3 * unit, 5 * unit, unit, unit
    compiled = CompiledStrings(np.array([97, 97]), np.frombuffer(b"xy", np.uint8), lows, widths)
    codes = window_codes(compiled, 8)
    assert codes[[97, 98, 99, 256, 257]].tolist() == [0, 4, -1, 0, 2]
    # "a" and "ax" share code 0. A third of the windows that begin with "a" go on to "x", a third to "y", a third end:
    # the longer of equals is taken.
    assert likeliest(compiled, codes, 8)[[0, 1, 2, 3, 4]].tolist() == [256, -1, 257, -1, 98]


def test_every_code_fits_and_only_prefixes_share_one():
    compressor = build(counts(), 12)
    codes = compressor._codes
    by_code = {}
    for number in np.flatnonzero(codes >= 0).tolist():
        by_code.setdefault(int(codes[number]), []).append(compressor.trie.string(number))
    assert max(by_code) < 2**12
    shared = [sorted(strings, key=len) for strings in by_code.values() if len(strings) > 1]
    assert shared
    assert all(long.startswith(short) for strings in shared for short, long in itertools.pairwise(strings))


def test_the_way_back_is_declared_fuzzy_and_ends_in_the_right_family():
    compressor = build()
    assert not compressor.lossless
    document, begin = CORPUS[0], 0
    right = windows = 0
    for code in compressor.encode(document).tolist():
        back = compressor.decode(np.array([code]))
        if code >= 256:
            candidates = [compressor.trie.string(n) for n in np.flatnonzero(compressor._codes == code - 256)]
            string = max((s for s in candidates if document.startswith(s, begin)), key=len)
            assert back.startswith(string) or string.startswith(back)
            right += back == string
            windows += 1
        begin += len(string) if code >= 256 else 1
    assert begin == len(document)
    assert right / windows > 0.5


def test_a_window_cut_short_stays_literal():
    compressor = build()
    (code,) = compressor.encode(b"the cat\xff")[:1]
    string = compressor.decode(np.array([code]))
    assert code >= 256
    assert compressor.encode(string).tolist() == list(string)


def test_spans_are_encoded_on_their_own():
    compressor = build()
    document = b"".join(CORPUS) * 6
    encoded = compressor.encode_spans(document)
    assert encoded.codes.tolist() == compressor.encode(document).tolist()
    assert len(encoded.byte_ends) > 1
    for part, codes in spans_of(encoded, document):
        assert codes.tolist() == compressor.encode(part).tolist()


@pytest.mark.long
@settings(deadline=None)
@given(st.lists(st.integers(-2, 5_000), max_size=20))
def test_decode_never_crashes(codes):
    compressor = build()
    try:
        assert isinstance(compressor.decode(np.array(codes, np.int64)), bytes)
    except CompressorError:
        assert any(code >= 256 or code < 0 for code in codes)


def test_loaded_again_it_is_the_same():
    compressor = build()
    again = compressors.load("neural-ac", compressor.config(), compressor.files())
    assert again.fingerprint == compressor.fingerprint
    assert again.encode(TEXT).tolist() == compressor.encode(TEXT).tolist()
    assert again.decode(again.encode(TEXT)) == compressor.decode(compressor.encode(TEXT))


@pytest.mark.parametrize("change", ["high", "negative", "none_best", "two_best"])
def test_outputs_that_are_no_windows_are_refused(change):
    compressor = build()
    outputs = compressor._outputs.copy()
    if change == "high":
        outputs[300] = 2 << 12
    elif change == "negative":
        outputs[300] = -2
    elif change == "none_best":
        outputs &= ~1
    else:
        outputs[256:] |= 1
    content = compressor.trie.to_bytes(outputs)
    with pytest.raises(CompressorError):
        compressors.load("neural-ac", compressor.config(), {TRIE_FILE: content})


def test_a_device_that_torch_does_not_have_is_told_with_this_compressors_flag():
    with pytest.raises(CompressorError, match=r"^--neural-ac-device: torch cannot use the device 'no such device': "):
        NeuralAcCompressor.build(options_with(device="no such device"), lambda: iter(CORPUS))


def test_a_file_of_another_width_or_compressor_is_refused():
    compressor = build(bits=16)
    with pytest.raises(CompressorError, match="no windows of 8 bits"):
        compressors.load("neural-ac", compressor.config() | {"bits": 8}, compressor.files())
    with pytest.raises(CompressorError, match="another compressor"):
        compressors.load("neural-ac", compressor.config(), {TRIE_FILE: compressor.trie.to_bytes()})
    with pytest.raises(CompressorError):
        compressors.load("neural-ac", compressor.config() | {"bits": 9}, compressor.files())
