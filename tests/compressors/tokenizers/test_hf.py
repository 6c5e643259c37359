"""tokenizer.json of several kinds: the library's ids where they are exact, literals where they are not."""

import json

import numpy as np
import pytest
from awkward_text import documents
from encoded_spans import spans_of
from hypothesis import given, settings
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from megatron_proxy import compressors
from megatron_proxy.compressors.tokenizers.hf import HfCompressor, without_drawing
from megatron_proxy.errors import CompressorError

TEXT = "The quick brown fox jumps over the lazy dog.\n    def quick(self, fox):\n        return self.brown\n\n日本語é\n"


def train(model, trainer, **parts) -> bytes:
    tokenizer = Tokenizer(model)
    for name, part in parts.items():
        setattr(tokenizer, name, part)
    tokenizer.train_from_iterator([TEXT] * 4, trainer)
    tokenizer.add_special_tokens(["<|end|>"])
    tokenizer.add_tokens([AddedToken("return self", normalized=False)])
    return tokenizer.to_str().encode()


def bpe(**settings):
    return trainers.BpeTrainer(vocab_size=400, show_progress=False, **settings)


MODELS = {
    "byte level": train(
        models.BPE(),
        bpe(initial_alphabet=pre_tokenizers.ByteLevel.alphabet()),
        pre_tokenizer=pre_tokenizers.ByteLevel(add_prefix_space=False),
        decoder=decoders.ByteLevel(),
    ),
    "byte level, space before": train(
        models.BPE(),
        bpe(initial_alphabet=pre_tokenizers.ByteLevel.alphabet()),
        pre_tokenizer=pre_tokenizers.ByteLevel(add_prefix_space=True),
        decoder=decoders.ByteLevel(),
    ),
    "byte fallback": train(
        models.BPE(byte_fallback=True, unk_token="<unk>"),
        bpe(special_tokens=["<unk>", *(f"<0x{byte:02X}>" for byte in range(256))]),
        normalizer=normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]),
    ),
    "normalising": train(
        models.BPE(),
        bpe(initial_alphabet=pre_tokenizers.ByteLevel.alphabet()),
        normalizer=normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()]),
        pre_tokenizer=pre_tokenizers.ByteLevel(add_prefix_space=False),
    ),
    "word pieces": train(
        models.WordPiece(unk_token="<unk>"),
        trainers.WordPieceTrainer(vocab_size=300, show_progress=False, special_tokens=["<unk>"]),
        normalizer=normalizers.BertNormalizer(),
        pre_tokenizer=pre_tokenizers.BertPreTokenizer(),
    ),
}
COMPRESSORS = {name: HfCompressor(model) for name, model in MODELS.items()}


@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=60, deadline=None)
@given(document=documents)
def test_everything_comes_back(name, document):
    compressor = COMPRESSORS[name]
    codes = compressor.encode(document)
    assert codes.dtype == np.uint16
    assert compressor.decode(codes) == document


def test_ids_are_the_librarys():
    tokenizer = Tokenizer.from_str(MODELS["byte level"].decode())
    expected = [256 + id_ for id_ in tokenizer.encode(TEXT, add_special_tokens=False).ids]
    assert COMPRESSORS["byte level"].encode(TEXT.encode()).tolist() == expected


@pytest.mark.parametrize(
    ("name", "share"), [("byte level, space before", 0.1), ("normalising", 0.1), ("byte fallback", 0.1)]
)
def test_literals_are_few(name, share):
    codes = COMPRESSORS[name].encode(TEXT.replace("T", "t").encode() * 3)
    assert np.count_nonzero(codes < 256) < share * 3 * len(TEXT)


@pytest.mark.long
@pytest.mark.parametrize("split", ["lines", "tokens"])
@settings(max_examples=60)
@given(document=documents)
def test_lines_make_spans(split, document):
    compressor = HfCompressor(MODELS["byte level"], split=split)
    document = document + TEXT.encode() * 5 + document
    encoded = compressor.encode_spans(document)
    assert encoded.codes.tolist() == compressor.encode(document).tolist()
    for part, codes in spans_of(encoded, document):
        assert compressor.decode(codes) == part


@pytest.mark.parametrize("symbols", ["ids", "bytes"])
def test_whole_texts_can_have_spans_that_end_where_tokens_do(symbols):
    """A token that reaches across a line's end ends the span behind it."""
    indented = json.loads(MODELS["byte level"])
    # Behind the added tokens.
    for number, left in enumerate(("Ċ", "ĊĠ", "ĊĠĠ"), 1 + max(token["id"] for token in indented["added_tokens"])):
        indented["model"]["merges"].append([left, "Ġ"])
        indented["model"]["vocab"][f"{left}Ġ"] = number
    content = json.dumps(indented).encode()
    text = b"    some = words\n    return\n" * 40
    encoded = HfCompressor(content, symbols, split="tokens").encode_spans(text)
    assert encoded.codes.tolist() == HfCompressor(content, symbols).encode(text).tolist()
    lines = HfCompressor(content, symbols, split="lines").encode_spans(text)
    assert len(encoded.codes) < len(lines.codes)
    whole = HfCompressor(content)
    borders = np.cumsum(whole.strings.sizes_of(whole.encode(text).astype(np.int32)))
    # The first end of a token at or behind each end of a span of lines.
    assert encoded.byte_ends.tolist() == [borders[np.searchsorted(borders, end)] for end in lines.byte_ends.tolist()]
    assert encoded.byte_ends.tolist() != lines.byte_ends.tolist()
    for part, codes in spans_of(encoded, text):
        assert whole.decode(codes) == part or symbols == "bytes"


def test_without_spans_it_says_how_to_get_them():
    assert not COMPRESSORS["byte level"].spans
    assert "--hf-split tokens" in COMPRESSORS["byte level"].no_spans_because


@pytest.mark.parametrize("symbols", ["bytes", "gray"])
def test_ids_in_bytes_come_back(symbols):
    compressor = HfCompressor(MODELS["byte level"], symbols)
    assert compressor.decode(compressor.encode(TEXT.encode() + b"\xff")) == TEXT.encode() + b"\xff"


def test_special_tokens_are_refused():
    id_ = Tokenizer.from_str(MODELS["byte level"].decode()).token_to_id("<|end|>")
    with pytest.raises(CompressorError, match="stands for nothing"):
        COMPRESSORS["byte level"].decode(np.array([256 + id_]))


def test_builds_from_a_file(tmp_path):
    (tmp_path / "tokenizer.json").write_bytes(MODELS["byte level"])
    options = HfCompressor.all_options({})
    built = HfCompressor.build(options | {"model": str(tmp_path / "tokenizer.json")}, lambda: iter(()))
    restored = compressors.load("hf", built.config(), built.files())
    assert restored.encode(TEXT.encode()).tolist() == COMPRESSORS["byte level"].encode(TEXT.encode()).tolist()
    with pytest.raises(CompressorError, match="--hf-model"):
        HfCompressor.build(options, lambda: iter(()))
    with pytest.raises(CompressorError, match="cannot be read"):
        HfCompressor.build(options | {"model": str(tmp_path / "missing")}, lambda: iter(()))


@pytest.mark.parametrize("content", [b"", b"\xff", b"{}", b"[" * 10_000, b'{"model": {"type": "BPE"}}', b"null"])
def test_foreign_files_are_refused(content):
    with pytest.raises(CompressorError, match="cannot load"):
        HfCompressor(content)


def dropping(rate):
    content = json.loads(MODELS["byte level"])
    content["model"]["dropout"] = rate
    return json.dumps(content).encode()


def test_dropout_is_turned_off_and_that_is_said(tmp_path, capsys):
    (tmp_path / "tokenizer.json").write_bytes(dropping(0.5))
    options = HfCompressor.all_options({"model": str(tmp_path / "tokenizer.json")})
    built = HfCompressor.build(options, lambda: iter(()))
    expected = COMPRESSORS["byte level"].encode(TEXT.encode()).tolist()
    assert [built.encode(TEXT.encode()).tolist() for _ in range(5)] == [expected] * 5
    assert json.loads(built.files()["tokenizer.json"])["model"]["dropout"] is None
    assert capsys.readouterr().err == (
        f"hf: {tmp_path}/tokenizer.json asks for dropout 0.5, which is turned off: "
        "the same bytes must have the same codes\n"
    )


@pytest.mark.parametrize("rate", [0.5, 1.0])
def test_a_stored_tokenizer_does_not_drop_either(rate):
    """As it is in the manifests of releases that knew nothing of it: the file, and so the fingerprint, stays."""
    stored = HfCompressor.from_config({"symbols": "ids", "split": "none"}, {"tokenizer.json": dropping(rate)})
    assert stored.files() == {"tokenizer.json": dropping(rate)}
    expected = COMPRESSORS["byte level"].encode(TEXT.encode() * 9).tolist()
    assert [stored.encode(TEXT.encode() * 9).tolist() for _ in range(3)] == [expected] * 3


def test_what_does_not_draw_is_stored_as_it_is():
    for content in (MODELS["byte level"], dropping(0.0), dropping(None), b"no json", b"[]", b'{"model": 3}'):
        assert without_drawing(content) == (content, {})
    content = json.dumps({"model": {"type": "Unigram", "alpha": 0.1, "nbest_size": -1, "vocab": {"dropout": 1}}})
    settled, drawing = without_drawing(content.encode())
    assert drawing == {"alpha": 0.1, "nbest_size": -1}
    assert json.loads(settled)["model"] == {
        "type": "Unigram",
        "alpha": None,
        "nbest_size": None,
        "vocab": {"dropout": 1},
    }
