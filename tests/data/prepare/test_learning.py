"""What is shown of a compressor that learns: the readings, the rows that its ids take, a corpus that is too small."""

import gzip
import io
import sys

import pytest
from preparing import write_corpus

from megatron_proxy.data.corpus import expand
from megatron_proxy.data.prepare import learning
from megatron_proxy.data.prepare.learning import FilesToLearnFrom, rows, too_small
from megatron_proxy.vocab import Vocabulary


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_each_reading_is_shown_on_a_terminal(tmp_path, monkeypatch):
    paths = [write_corpus(tmp_path / "a.jsonl", ["x" * 90, "y"]), str(tmp_path / "b.jsonl.gz")]
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(b'{"text": "z"}\nbad\n'))
    monkeypatch.setattr(sys, "stderr", Terminal())
    corpus = FilesToLearnFrom(paths, "text", skip_bad_lines=True, label="reading")
    for _ in range(2):
        assert list(corpus()) == [b"x" * 90, b"y", b"z"]
    assert corpus.bytes == 92
    shown = sys.stderr.getvalue()
    assert shown.count("reading: 100%|") == 2
    assert "3 documents" in shown
    assert shown.count("reading: the corpus is read\n") == 2
    assert sum(file.size for file in expand(paths)) > 92


def test_prepare_shows_what_its_compressor_reads(tmp_path, corpus, run, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    run(corpus, options={"learn": True})
    shown = sys.stderr.getvalue()
    assert f"{tmp_path}/p: reading what toy learns from: 100%|" in shown
    assert f"{tmp_path}/p: reading what toy learns from: the corpus is read\n" in shown


def test_the_rows_of_a_model():
    # 25,000 + 320 ids of 768 against 12 layers of 12 * 768 squared.
    assert rows(Vocabulary(25_000, True), 768) == (
        "25,000 symbols, 25,320 ids; in a model of --hidden-size 768 and 12 layers "
        "the ids' rows are 19% of 104.4 million parameters"
    )
    assert "2,048 and" not in rows(Vocabulary(256), 2048)
    assert rows(Vocabulary(256), 16).startswith("256 symbols, 576 ids; in a model of --hidden-size 16 and 1 layers ")


@pytest.mark.parametrize(("size", "small"), [(25_599, True), (25_600, False)])
def test_a_corpus_needs_a_hundred_bytes_for_each_symbol(size, small):
    note = too_small(size, Vocabulary(256))
    assert (note is not None) == small
    assert note is None or note.startswith(
        "the corpus is too small to learn 256 symbols from: it has 100.0 bytes for each, and 100 are few; take a larger"
    )


def test_a_compressor_without_symbols_needs_none():
    assert too_small(0, Vocabulary(0)) is None
    assert learning.too_small(1, Vocabulary(1, True)) is not None
