"""What is found out before a tokenized corpus is read: damaged files, foreign tokenizers, flags."""

import json
from pathlib import Path

import numpy as np
import pytest
from token_files import byte_level, sentencepiece_model, write_tokens

from megatron_proxy.data.corpus import chunks, read_chunk
from megatron_proxy.data.dataset.reader import HEADER
from megatron_proxy.data.tokens import open_tokens
from megatron_proxy.errors import CompressorError, ConfigurationError, CorpusError

TEXTS = Path(__file__).parents[2].joinpath("fixtures", "text.txt").read_text().splitlines(keepends=True)
OTHERS = Path(__file__).parents[3].joinpath("LICENSE").read_text().splitlines(keepends=True)


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory):
    """Tokenizer files by name, and the ids that the first one makes."""
    folder = tmp_path_factory.mktemp("tokenizers")
    tokenizer = byte_level(folder / "tokenizer.json", TEXTS, 900)
    byte_level(folder / "other.json", OTHERS, 900)
    byte_level(folder / "smaller.json", OTHERS, 300)
    sentencepiece_model(folder / "m.model", TEXTS)
    return folder, [tokenizer.encode(text, add_special_tokens=False).ids for text in TEXTS]


def look(prefix, tokenizer, options=None, eod=None):
    return open_tokens([str(prefix)], tokenizer and str(tokenizer), options or {}, eod=eod, drop=False)[0]


@pytest.mark.long
def test_another_tokenizer_is_found_out(tokenizers, tmp_path):
    folder, ids = tokenizers
    prefix = write_tokens(tmp_path / "ids", [[one] for one in ids])
    assert look(prefix, folder / "tokenizer.json").name == "hf"
    # A folder that has it, as Megatron's --tokenizer-model names one.
    assert look(prefix, folder).name == "hf"
    with pytest.raises(CorpusError, match=r"ids: .*other\.json makes \d+% of these ids of the text") as error:
        look(prefix, folder / "other.json")
    assert "--tokenizer: name the one that made the ids" in str(error.value)
    with pytest.raises(CorpusError, match=r"ids, sequence \d+, id \d+: the id \d+ is none of the tokenizer's 300"):
        look(prefix, folder / "smaller.json")
    with pytest.raises(CorpusError, match=r"of these ids of the text|is none of the tokenizer's"):
        look(prefix, folder / "m.model")


def test_ids_that_were_cut_anywhere_are_taken(tokenizers, tmp_path):
    folder, ids = tokenizers
    joined = [id_ for one in ids for id_ in one]
    pieces = [joined[begin : begin + 50] for begin in range(0, len(joined), 50)]
    assert look(write_tokens(tmp_path / "ids", [[one] for one in pieces]), folder).sources[0].rules.eod is None


def test_tokenizers_of_no_kind(tokenizers, tmp_path):
    _, ids = tokenizers
    prefix = write_tokens(tmp_path / "ids", [[one] for one in ids])
    for content, message in [
        (b'[{"rank": 0}]', "is a list of JSON, no tokenizer.json"),
        (b"{}", "cannot load this tokenizer.json"),
        (b"nothing", "this is not a SentencePiece model"),
        (b"YQ== 0\n", "the ranks lack 255 single bytes"),
    ]:
        (tmp_path / "t").write_bytes(content)
        with pytest.raises(CompressorError, match=message):
            look(prefix, tmp_path / "t")
    with pytest.raises(CompressorError, match=r"--tokenizer: .*missing cannot be read"):
        look(prefix, tmp_path / "missing")


def test_flags_that_do_not_go_together(tokenizers, tmp_path):
    folder, ids = tokenizers
    prefix = write_tokens(tmp_path / "ids", [[one] for one in ids])
    with pytest.raises(ConfigurationError, match="--tokenizer: the tokenizer that made the ids is needed"):
        look(prefix, None)
    with pytest.raises(ConfigurationError, match="--hf-model: the tokenizer is the one of --tokenizer"):
        look(prefix, folder, {"hf": {"model": "x"}})
    for option, value in {"symbols": "gray", "split": "lines"}.items():
        with pytest.raises(ConfigurationError, match=f"--hf-{option}: '{value}' cannot be had of ids that are there"):
            look(prefix, folder, {"hf": {option: value}})
    with pytest.raises(CorpusError, match=r"--input-tokens: '.*ids' is named 2 times"):
        open_tokens([prefix, f"{prefix}.bin"], str(folder), {}, eod=None, drop=False)


@pytest.mark.long
def test_damaged_files(tokenizers, tmp_path):
    folder, ids = tokenizers
    prefix = write_tokens(tmp_path / "ids", [[one, one] for one in ids])
    good = {ending: (tmp_path / f"ids.{ending}").read_bytes() for ending in ("bin", "idx")}

    def refused(message, **files):
        for ending, content in (good | files).items():
            (tmp_path / f"ids.{ending}").write_bytes(content)
        with pytest.raises(CorpusError, match=message) as error:
            look(prefix, folder)
        assert "preprocess_data.py" in error.value.fix

    refused(r"ids\.bin: the file has [\d,]+ bytes, its index says", bin=good["bin"][:-2])
    refused(r"ids\.bin: the file has [\d,]+ bytes, its index says", bin=good["bin"] + b"12")
    refused(r"ids\.idx: the file has [\d,]+ bytes, its header says", idx=good["idx"][:-8])
    refused(r"ids\.idx: this is not the index of an IndexedDataset", idx=b"")
    count = 2 * len(ids)
    idx = np.frombuffer(good["idx"], dtype=np.uint8)
    borders, pointers = HEADER.size + 12 * count, HEADER.size + 4 * count

    def edited(place, dtype, value):
        content = idx.copy()
        content[place : place + np.dtype(dtype).itemsize] = np.frombuffer(np.array(value, dtype).tobytes(), np.uint8)
        return content.tobytes()

    for content, message in [
        (edited(HEADER.size, "<i4", -1), "its sequences are not laid end to end"),
        (edited(pointers + 8, "<i8", 3), "its sequences are not laid end to end"),
        (edited(borders, "<i8", 1), "its documents are not those of all its sequences"),
        (edited(len(idx) - 8, "<i8", 1), "its documents are not those of all its sequences"),
        (edited(borders + 8, "<i8", 99), "its documents do not follow each other"),
    ]:
        refused(rf"ids\.idx: the index is damaged: {message}", idx=content)
    floats = write_tokens(tmp_path / "floats", [[one] for one in ids], "float32")
    with pytest.raises(CorpusError, match=r"floats\.idx: holds float32 numbers, which are no ids"):
        look(floats, folder)
    for ending in ("bin", "idx"):
        write_tokens(tmp_path / "half", [[one] for one in ids])
        (tmp_path / f"half.{ending}").unlink()
        with pytest.raises(CorpusError, match=rf"half\.{ending}: cannot be read"):
            look(tmp_path / "half", folder)


def test_a_tokenizer_that_changes_is_found_out(tokenizers, tmp_path):
    folder, ids = tokenizers
    (tmp_path / "tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes())
    corpus = look(write_tokens(tmp_path / "ids", [[one] for one in ids]), tmp_path)
    tokenizer = corpus.sources[0].tokenizer
    content = json.loads((tmp_path / "tokenizer.json").read_text())
    (tmp_path / "tokenizer.json").write_text(json.dumps(content | {"more": 1}))
    from megatron_proxy.data.tokens.tokenizer import _made

    _made.cache_clear()
    with pytest.raises(CorpusError, match=r"tokenizer\.json: the file changed while it was read"):
        tokenizer.compressor()


def test_an_empty_corpus(tokenizers, tmp_path):
    folder, _ = tokenizers
    assert look(write_tokens(tmp_path / "ids", [[], []]), folder).sources[0].size == 0


def test_files_that_change_and_documents_that_are_too_long(tokenizers, tmp_path, monkeypatch):
    folder, ids = tokenizers
    prefix = write_tokens(tmp_path / "ids", [[one] for one in ids])
    (chunk,) = chunks(look(prefix, folder).sources)
    monkeypatch.setattr("megatron_proxy.data.tokens.corpus.MAX_DOCUMENT_BYTES", 30)
    with pytest.raises(CorpusError, match="ids, document 1: the document has 66 bytes, more than an index can hold"):
        read_chunk(chunk, ["text"])
    (tmp_path / "ids.bin").write_bytes(b"1")
    with pytest.raises(CorpusError, match=r"ids\.bin: the file changed while it was read"):
        read_chunk(chunk, ["text"])
    (tmp_path / "ids.bin").unlink()
    with pytest.raises(CorpusError, match=r"ids\.bin: cannot be read \(No such file"):
        read_chunk(chunk, ["text"])
