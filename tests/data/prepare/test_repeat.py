"""Same bytes, same codes: whatever gives two encodings is refused, before anything is written."""

import random

import pytest
from preparing import files_of, leftovers, write_corpus
from toy_compressor import ToyCompressor

from megatron_proxy.data.prepare import encode as encode_module
from megatron_proxy.data.prepare.repeat import SAMPLES, check_repeats, check_samples
from megatron_proxy.data.prepare.units import units_of
from megatron_proxy.errors import CompressorError

MESSAGE = "compressor 'toy' gives the same bytes two encodings"


@pytest.mark.parametrize("fault", ["counts", "restored"])
@pytest.mark.parametrize("workers", [0, 1])
def test_two_encodings_are_refused_before_the_corpus_is_read(tmp_path, run, fault, workers):
    corpus = tmp_path / "c.jsonl"
    corpus.write_text("not JSON at all")
    with pytest.raises(CompressorError, match=MESSAGE):
        run(str(corpus), options={"fault": fault}, workers=workers)
    assert files_of(tmp_path) == {}
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("fault", ["counts", "restored"])
def test_so_is_a_compressor_that_had_to_learn_first(tmp_path, corpus, run, fault):
    with pytest.raises(CompressorError, match=MESSAGE):
        run(corpus, options={"fault": fault, "learn": True})
    assert not [name for name in files_of(tmp_path) if "toy" in name]


def test_documents_of_the_corpus_are_encoded_again_too(tmp_path, corpus, run, monkeypatch):
    """What draws only where the samples give it no occasion."""

    def encode(self, document):
        codes = self.encode_as_before(document)
        return codes + random.randrange(2) * 256 if document.startswith(b"def f") else codes

    monkeypatch.setattr(ToyCompressor, "encode_as_before", ToyCompressor.encode, raising=False)
    monkeypatch.setattr(ToyCompressor, "encode", encode)
    corpus = write_corpus(tmp_path / "c.jsonl", ["def f(): pass\n"] * 30)
    with pytest.raises(CompressorError, match=MESSAGE):
        run(corpus)
    assert not [name for name in files_of(tmp_path) if "toy" in name]


def test_the_first_documents_of_a_view_are_encoded_again(tmp_path, run, monkeypatch):
    seen = []
    monkeypatch.setattr(encode_module, "check_repeats", lambda compressor, documents, first: seen.append(documents))
    monkeypatch.setattr(encode_module, "_AGAIN_BYTES", 25)
    run(write_corpus(tmp_path / "c.jsonl", ["0123456789"] * 9))
    run(write_corpus(tmp_path / "d.jsonl", ["0123456789" * 9]), prefix="d")
    run(write_corpus(tmp_path / "e.jsonl", ["", "ab"] * 4), prefix="e", partitions=2)
    assert seen == [[b"0123456789"] * 2, [], [b"", b"ab"] * 2, [b"", b"ab"] * 2]


def test_each_document_is_compared():
    compressor = ToyCompressor(1)
    check_samples(compressor, 0)
    documents = [b"ab", b"", b"c"]
    check_repeats(compressor, documents, units_of(compressor, [*documents, b"more"]))
    check_repeats(compressor, [], units_of(compressor, []))
    for others in ([b"ab", b"", b"d"], [b"a", b"b", b"c"], [b"abc", b"", b""]):
        with pytest.raises(CompressorError, match=MESSAGE):
            check_repeats(compressor, documents, units_of(compressor, others))


def test_samples_are_of_every_kind():
    assert b"" in SAMPLES
    assert any(set(range(256)) <= set(sample) for sample in SAMPLES)
    assert max(map(len, SAMPLES)) > 1_000
