"""SentencePiece: the library's own ids where it is exact, literals where it is not, every kind of model."""

import io

import numpy as np
import pytest
import sentencepiece
from awkward_text import documents
from encoded_spans import spans_of
from hypothesis import given, settings
from hypothesis import strategies as st

from megatron_proxy import compressors
from megatron_proxy.compressors.tokenizers import word_cache
from megatron_proxy.compressors.tokenizers.sentencepiece import SentencePieceCompressor, train
from megatron_proxy.compressors.tokenizers.spelling import Spelling
from megatron_proxy.errors import CompressorError

TEXT = """The quick brown fox jumps over the lazy dog.
    def quick(self, fox):
        return self.brown

日本語の文字列
"""
DOCUMENTS = [TEXT.encode() * 4, b"words and more words, and other words\n" * 9]


def foreign(**settings) -> bytes:
    """A model as others train them."""
    writer = io.BytesIO()
    lines = [line for document in DOCUMENTS for line in document.decode().splitlines()]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=writer,
        vocab_size=400,
        hard_vocab_limit=False,
        minloglevel=3,
        **settings,
    )
    return writer.getvalue()


MODELS = {
    "ours": train(DOCUMENTS, 400),
    "defaults": foreign(),
    "bpe, dummy prefix": foreign(model_type="bpe", byte_fallback=True, normalization_rule_name="identity"),
    "bpe, no byte pieces": foreign(
        model_type="bpe", normalization_rule_name="identity", add_dummy_prefix=False, remove_extra_whitespaces=False
    ),
    "unigram, as it is": foreign(
        normalization_rule_name="identity", add_dummy_prefix=False, remove_extra_whitespaces=False, byte_fallback=True
    ),
    "across words": foreign(model_type="bpe", split_by_whitespace=False, byte_fallback=True, add_dummy_prefix=False),
    "suffix": foreign(treat_whitespace_as_suffix=True),
    "user-defined": foreign(user_defined_symbols=["\n", " def", "self, fox"], model_type="bpe"),
    "characters": foreign(model_type="char"),
}
COMPRESSORS = {name: SentencePieceCompressor(model) for name, model in MODELS.items()}


@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=60, deadline=None)
@given(document=documents)
def test_everything_comes_back(name, document):
    compressor = COMPRESSORS[name]
    codes = compressor.encode(document)
    assert codes.dtype == np.uint16
    assert compressor.decode(codes) == document


@pytest.mark.parametrize("name", MODELS)
def test_a_piece_that_stands_for_nothing_is_never_written(name):
    """A normalizer makes two letters of this one, and the model puts an unknown piece between them."""
    document = "ŉ and ŉ".encode()
    assert COMPRESSORS[name].decode(COMPRESSORS[name].encode(document)) == document


@pytest.mark.parametrize("name", MODELS)
def test_text_is_mostly_pieces(name):
    compressor = COMPRESSORS[name]
    codes = compressor.encode(DOCUMENTS[1][:-1])
    assert compressor.decode(codes) == DOCUMENTS[1][:-1]
    assert np.count_nonzero(codes < 256) < 0.5 * len(DOCUMENTS[1])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from([*TEXT.split(" "), " ", "   ", "\n", "é"]), max_size=30).map("".join))
def test_ids_are_the_librarys(text):
    compressor = COMPRESSORS["ours"]
    assert compressor._words is not None
    processor = sentencepiece.SentencePieceProcessor(model_proto=MODELS["ours"])
    expected = [
        int(processor.id_to_piece(id_)[1:-1], 16) if processor.is_byte(id_) else 256 + id_
        for id_ in processor.encode(text)
    ]
    assert compressor.encode(text.encode()).tolist() == expected


def test_only_independent_words_are_looked_up():
    looked_up = {name for name, compressor in COMPRESSORS.items() if compressor._words is not None}
    assert looked_up == {"ours", "bpe, no byte pieces"}
    assert {name for name, compressor in COMPRESSORS.items() if compressor.spans} == looked_up | {"unigram, as it is"}


def test_memory_of_words_does_not_show(monkeypatch):
    document = "".join(f"word{i % 700} and{i}\n" for i in range(3_000)).encode()
    expected = SentencePieceCompressor(MODELS["ours"]).encode(document)
    monkeypatch.setattr(word_cache, "_CHUNK", 1_000)
    monkeypatch.setattr(word_cache, "_WORDS", 2_000)
    monkeypatch.setattr(word_cache, "_SLOTS", 4_096)
    small = SentencePieceCompressor(MODELS["ours"])
    for _ in range(2):
        assert small.encode(document).tolist() == expected.tolist()


def test_a_failed_lookup_leaves_nothing_behind():
    calls = []

    def batch(texts):
        calls.append(texts)
        if len(calls) == 1:
            raise RuntimeError("interrupted")
        return np.arange(len(texts), dtype=np.int32), np.arange(1, len(texts) + 1)

    words = word_cache.WordEncoder(batch)
    with pytest.raises(RuntimeError, match="interrupted"):
        words.encode(b"one two one")
    assert words.encode(b"one two one").tolist() == [0, 1, 2]
    assert calls[1] == ["one", " two", " one"]


@pytest.mark.long
@pytest.mark.parametrize("name", ["ours", "unigram, as it is"])
@settings(max_examples=60, deadline=None)
@given(document=documents)
def test_spans_decode_alone_and_are_encoded_alone(name, document):
    compressor = COMPRESSORS[name]
    document = document + TEXT.encode() * 8 + document
    encoded = compressor.encode_spans(document)
    assert encoded.codes.tolist() == compressor.encode(document).tolist()
    assert len(encoded.byte_ends) > 4
    for part, codes in spans_of(encoded, document):
        assert compressor.decode(codes) == part
        assert compressor.encode(part).tolist() == codes.tolist()


def test_endless_lines_are_cut():
    compressor = COMPRESSORS["ours"]
    document = b"a" * 70_000 + b" fox\n" + b"quick " * 30_000
    encoded = compressor.encode_spans(document)
    assert encoded.codes.tolist() == compressor.encode(document).tolist()
    assert compressor.decode(encoded.codes) == document
    assert np.diff(encoded.byte_ends, prepend=0).max() <= 65_535
    assert np.diff(encoded.code_ends, prepend=0).max() <= 65_535


@pytest.mark.long
def test_long_documents_go_in_parts(monkeypatch):
    monkeypatch.setattr("megatron_proxy.compressors.tokenizers.tokens.PART_BYTES", 70_000)
    for name in ("ours", "defaults"):
        document = (TEXT.encode() + "ﬁ".encode()) * 1_500
        assert COMPRESSORS[name].decode(COMPRESSORS[name].encode(document)) == document


class TestIdsInBytes:
    @pytest.mark.long
    @pytest.mark.parametrize("symbols", ["bytes", "gray"])
    @settings(max_examples=60, deadline=None)
    @given(document=documents)
    def test_come_back(self, symbols, document):
        compressor = SentencePieceCompressor(MODELS["ours"], symbols)
        codes = compressor.encode(document)
        assert compressor.num_symbols == 256
        assert codes.max(initial=0) < 512
        assert compressor.decode(codes) == document
        assert compressor.encode_spans(document).codes.tolist() == codes.tolist()

    def test_are_big_endian(self):
        ids = COMPRESSORS["ours"].encode(b"quick\n").tolist()
        assert ids[-1] == 10
        expected = [code for id_ in ids[:-1] for code in (256 + (id_ - 256 >> 8), 256 + (id_ - 256 & 255))]
        assert SentencePieceCompressor(MODELS["ours"], "bytes").encode(b"quick\n").tolist() == [*expected, 10]

    def test_neighbours_in_the_alphabet_differ_by_one_bit(self):
        tokens = [b"the", b"t", b"quick", b"", b"fox", b"th"]
        numbers = Spelling(tokens, gray=True).write(np.arange(256, 262, dtype=np.int32))
        numbers = numbers[sorted(range(6), key=tokens.__getitem__)]
        assert numbers.tolist() == [256 + gray for gray in (0b000, 0b001, 0b011, 0b010, 0b110, 0b111)]
        assert {int(bits).bit_count() for bits in numbers[1:] ^ numbers[:-1]} == {1}

    @pytest.mark.parametrize("codes", [[256], [97, 511], [511, 511], [256, 97], [512]])
    def test_other_bytes_are_refused(self, codes):
        with pytest.raises(CompressorError):
            SentencePieceCompressor(MODELS["ours"], "gray").decode(np.array(codes))


def test_symbols_of_control_pieces_are_refused():
    with pytest.raises(CompressorError, match="stands for nothing"):
        COMPRESSORS["ours"].decode(np.array([256]))
    with pytest.raises(CompressorError, match="out of range"):
        COMPRESSORS["ours"].decode(np.array([256 + COMPRESSORS["ours"].num_symbols]))


def options(**changes):
    return SentencePieceCompressor.all_options(changes)


def test_builds_from_a_corpus_or_from_a_file(tmp_path):
    trained = SentencePieceCompressor.build(options(**{"vocab-size": 400}), lambda: iter(DOCUMENTS))
    again = SentencePieceCompressor.build(options(**{"vocab-size": 400}), lambda: iter(DOCUMENTS))
    assert trained.fingerprint == again.fingerprint
    (tmp_path / "some.model").write_bytes(trained.content)
    loaded = SentencePieceCompressor.build(options(model=str(tmp_path / "some.model")), lambda: iter(()))
    assert loaded.fingerprint == trained.fingerprint
    restored = compressors.load("sentencepiece", trained.config(), trained.files())
    assert restored.encode(DOCUMENTS[0]).tolist() == trained.encode(DOCUMENTS[0]).tolist()


def test_bad_input_is_refused(tmp_path):
    with pytest.raises(CompressorError, match=r"--sentencepiece-model.*cannot be read"):
        SentencePieceCompressor.build(options(model=str(tmp_path / "missing")), lambda: iter(()))
    with pytest.raises(CompressorError, match="--sentencepiece-vocab-size"):
        SentencePieceCompressor.build(options(**{"vocab-size": 0}), lambda: iter(DOCUMENTS))
    with pytest.raises(CompressorError, match="cannot be trained"):
        SentencePieceCompressor.build(options(), lambda: iter(()))
    with pytest.raises(CompressorError, match=r"model\.model"):
        compressors.load("sentencepiece", {"symbols": "ids"}, {})


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200) | st.integers(0, len(MODELS["ours"])).map(lambda size: MODELS["ours"][:size]))
def test_foreign_files_are_refused(content):
    try:
        compressor = SentencePieceCompressor(content)
    except CompressorError:
        return
    assert compressor.decode(compressor.encode(TEXT.encode())) == TEXT.encode()
