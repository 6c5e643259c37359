"""What prepare makes of a tiny corpus, to the byte, and how runs on one prefix add up."""

import json

import numpy as np
import pytest
from preparing import DOCUMENTS, TEXTS, decoded, files_of, leftovers, raw_documents, write_corpus

from megatron_proxy.data import corpus as corpus_module
from megatron_proxy.data.dataset import manifest, reader
from megatron_proxy.data.dataset.layout import Layout
from megatron_proxy.data.dataset.opened import PreparedDataset
from megatron_proxy.data.prepare import Job
from megatron_proxy.data.prepare import encode as encode_module
from megatron_proxy.errors import ConfigurationError, CorpusError, DatasetError


def test_views_spans_and_manifest(tmp_path, corpus, run):
    report = run(corpus, compressors=("toy", "whole"))
    prefix = tmp_path / "p"
    assert raw_documents(prefix) == DOCUMENTS
    assert decoded(prefix, "toy") == decoded(prefix, "whole") == DOCUMENTS
    codes = reader.ViewReader(Layout(prefix).codes("toy"))
    assert codes.dtype == np.uint16
    assert codes.get(0).tolist() == [byte + 1 for byte in DOCUMENTS[0]]
    spans = reader.ViewReader(Layout(prefix).spans("toy"))
    assert [spans.get(index).tolist() for index in range(6)] == [
        [10, 10, 10, 10],
        [],
        [13, 13, 8, 8],
        [10, 10, 1, 1],
        [2, 2],
        [13, 13, 13, 13, 13, 13],
    ]
    found = manifest.read(prefix)
    assert found.documents == 6
    assert found.raw.units == sum(map(len, DOCUMENTS)) == 93
    assert found.source == {"inputs": ["corpus.jsonl"], "json_key": "text", "max_documents": None, "skipped_lines": 0}
    assert found.compressed["whole"].spans is None
    for name in ("toy", "whole"):
        PreparedDataset.open(prefix).check(name)
    assert sorted(files_of(tmp_path)) == sorted(
        ["_manifest.json", *(stored.name.removeprefix("p") for stored in found.stored_files())]
    )
    assert report == [
        f"{prefix}: 6 documents, 93 bytes in the raw view",
        f"{prefix}: 93 codes in the toy view, 1.00 bytes per code",
        f"{prefix}: 93 codes in the whole view, 1.00 bytes per code",
    ]
    assert leftovers(tmp_path) == []


@pytest.mark.long
def test_any_number_of_workers_partitions_and_calls_gives_the_same_bytes(tmp_path, run, monkeypatch):
    corpus = write_corpus(tmp_path / "c.jsonl", [f"line {number}\n" * (number % 50) for number in range(300)])
    monkeypatch.setattr(encode_module, "_SMALLEST_RANGE", 500)
    run(corpus, compressors=("toy", "whole"))
    expected = files_of(tmp_path)
    monkeypatch.setattr(corpus_module.chunks, "__kwdefaults__", {"shard": (0, 1), "size": 1000})
    for workers in (0, 1, 2, 3):
        run(corpus, compressors=("toy", "whole"), prefix=f"w{workers}", workers=workers)
        assert files_of(tmp_path, f"w{workers}") == expected
    run(corpus, compressors=("toy", "whole"), prefix="parts", partitions=7)
    assert files_of(tmp_path, "parts") == expected
    run(corpus, compressors=(), prefix="later")
    run(corpus, compressors=("whole",), prefix="later")
    run(compressors=("toy",), prefix="later")
    assert files_of(tmp_path, "later") == expected
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("workers", [0, 2])
def test_what_small_chunks_hold_is_written_and_compared(tmp_path, run, monkeypatch, workers):
    texts = [f"line {number}\n" * (number % 50) for number in range(300)]
    corpus = write_corpus(tmp_path / "c.jsonl", texts)
    run(corpus, compressors=(), workers=workers)
    expected = files_of(tmp_path)
    monkeypatch.setattr(corpus_module.chunks, "__kwdefaults__", {"shard": (0, 1), "size": 1000})
    run(corpus, compressors=(), prefix="small", workers=workers)
    assert files_of(tmp_path, "small") == expected
    run(corpus, compressors=(), prefix="small", workers=workers)
    assert files_of(tmp_path, "small") == expected
    other = write_corpus(tmp_path / "other.jsonl", [*texts[:-1], "another \n" * 49])
    with pytest.raises(DatasetError, match="holds another corpus"):
        run(other, compressors=(), prefix="small", workers=workers)
    assert leftovers(tmp_path) == []


def test_what_is_there_is_not_made_again(tmp_path, corpus, run):
    run(corpus)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("p_*")}
    assert run(corpus) == [
        f"{tmp_path}/p: 6 documents, 93 bytes in the raw view",
        f"{tmp_path}/p: the toy view is there already",
    ]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("p_*")} == before


@pytest.mark.parametrize(
    "texts", [TEXTS[:-1], [*TEXTS, "more"], [*TEXTS[:-1], "The last one\n" * 3], [*TEXTS[:-1], "short"], TEXTS[::-1]]
)
def test_another_corpus_is_refused_unless_it_may_overwrite(tmp_path, corpus, run, texts):
    run(corpus, compressors=("toy", "whole"))
    before = files_of(tmp_path)
    other = write_corpus(tmp_path / "other.jsonl", texts)
    with pytest.raises(DatasetError, match=r"p: holds another corpus than --input(.|\n)*--overwrite"):
        run(other)
    assert files_of(tmp_path) == before
    run(other, overwrite=True)
    assert raw_documents(tmp_path / "p") == decoded(tmp_path / "p", "toy")
    assert [text.encode("utf-8", "surrogateescape") for text in texts] == raw_documents(tmp_path / "p")
    assert list(manifest.read(tmp_path / "p").compressed) == ["toy"]
    assert not [name for name in files_of(tmp_path) if "whole" in name]


def test_other_options_are_refused_unless_they_may_overwrite(tmp_path, corpus, run):
    run(corpus, compressors=("toy", "whole"))
    before = files_of(tmp_path)
    with pytest.raises(DatasetError, match=r"has a toy view already, made with other options(.|\n)*--overwrite"):
        run(options={"shift": 5})
    assert files_of(tmp_path) == before
    run(options={"shift": 5}, overwrite=True)
    after = files_of(tmp_path)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"_toy_document.bin", "_toy_table.bin", "_manifest.json"}
    assert decoded(tmp_path / "p", "toy") == decoded(tmp_path / "p", "whole") == DOCUMENTS


def test_a_compressor_learns_from_the_documents(tmp_path, corpus, run):
    run(corpus, options={"learn": True})
    assert manifest.read(tmp_path / "p").compressed["toy"].config["shift"] == 7


def test_several_keys_make_a_dataset_each(tmp_path, run):
    lines = [{"a": "1", "b": "x\n"}, {"a": "22", "b": ""}]
    path = tmp_path / "c.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    run(str(path), keys=("b", "a"))
    assert raw_documents(tmp_path / "p_a") == [b"1", b"22"]
    assert raw_documents(tmp_path / "p_b") == [b"x\n", b""]
    assert manifest.read(tmp_path / "p_b").source["json_key"] == "b"
    assert decoded(tmp_path / "p_b", "toy") == [b"x\n", b""]


@pytest.mark.parametrize("workers", [0, 2])
def test_max_documents_counts_documents_not_lines(tmp_path, run, workers):
    path = tmp_path / "c.jsonl"
    path.write_text('\n{"text": "a"}\nbad\n{"text": "b"}\nbad\n{"text": "c"}\n')
    run(str(path), max_documents=2, skip_bad_lines=True, workers=workers)
    assert raw_documents(tmp_path / "p") == [b"a", b"b"]
    assert manifest.read(tmp_path / "p").source["skipped_lines"] == 1
    with pytest.raises(DatasetError, match="holds another corpus"):
        run(str(path), max_documents=3, skip_bad_lines=True, workers=workers)


def test_bad_lines_are_listed_and_counted(tmp_path, run, capsys):
    path = tmp_path / "c.jsonl"
    path.write_text('{"text": "a"}\n' + "bad\n" * 25 + '{"x": 1}\n')
    with pytest.raises(CorpusError, match=r"c\.jsonl:2: the line is not JSON"):
        run(str(path))
    assert files_of(tmp_path) == {}
    report = run(str(path), skip_bad_lines=True)
    listed = (tmp_path / "p_skipped_lines.txt").read_text().splitlines()
    assert listed[0] == f"{path}:2: the line is not JSON (Expecting value, column 1)"
    assert listed[-1] == f"{path}:27: the line lacks the key 'text' (its keys: 'x')"
    assert len(listed) == manifest.read(tmp_path / "p").source["skipped_lines"] == 26
    assert report[1] == f"26 bad lines were passed over: {tmp_path}/p_skipped_lines.txt lists them"
    shown = capsys.readouterr().err.splitlines()
    assert f"passed over {path}:21: the line is not JSON (Expecting value, column 1)" in shown
    assert "more lines are passed over: " in shown[20]
    good = write_corpus(tmp_path / "good.jsonl")
    run(good, overwrite=True)
    assert not (tmp_path / "p_skipped_lines.txt").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [("", "holds no documents"), ("\n\n", "holds no documents"), ('{"text": ""}\n' * 3, "all 3 documents are empty")],
)
def test_an_empty_corpus_is_an_error(tmp_path, run, content, message):
    path = tmp_path / "c.jsonl"
    path.write_text(content)
    with pytest.raises(CorpusError, match=f"--input: .*{message}"):
        run(str(path))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.jsonl"]


def test_a_corpus_that_changes_while_it_is_read_is_an_error(tmp_path, corpus, run, monkeypatch):
    first_chunks = corpus_module.chunks

    def growing(files, **settings):
        yield from first_chunks(files, **settings)
        write_corpus(corpus, [*TEXTS, "more"])

    monkeypatch.setattr("megatron_proxy.data.prepare.raw_view.chunks", growing)
    with pytest.raises(CorpusError, match=r"corpus\.jsonl: the file changed while it was read"):
        run(corpus)
    assert files_of(tmp_path) == {}


def test_without_input_the_prefix_must_be_prepared(run):
    with pytest.raises(ConfigurationError, match=r"--input: '.*p' is not prepared yet"):
        run()


def test_somebodys_files_are_not_overwritten(tmp_path, corpus, run):
    foreign = tmp_path / "p_raw_document.bin"
    foreign.write_bytes(b"mine")
    with pytest.raises(DatasetError, match=r"p_raw_document\.bin: the file is there, but no manifest names it"):
        run(corpus)
    assert foreign.read_bytes() == b"mine"
    run(corpus, overwrite=True)
    assert raw_documents(tmp_path / "p") == DOCUMENTS


def test_a_manifest_that_cannot_be_read_is_replaced_only_if_it_may_be(tmp_path, corpus, run):
    run(corpus)
    expected = files_of(tmp_path)
    (tmp_path / "p_manifest.json").write_text('{"format": "megatron_proxy manifest", "version": 99}')
    with pytest.raises(DatasetError, match=r"manifest version 99 cannot be read(.|\n)*--overwrite replaces"):
        run(corpus)
    run(corpus, overwrite=True)
    assert files_of(tmp_path) == expected


def test_a_damaged_raw_view_is_named_and_replaced_only_if_it_may_be(tmp_path, corpus, run):
    run(corpus)
    expected = files_of(tmp_path)
    (tmp_path / "p_raw_document.bin").write_bytes(b"short")
    with pytest.raises(DatasetError, match=r"p_raw_document\.bin: the file has 5 bytes, the manifest says 93"):
        run(corpus)
    run(corpus, overwrite=True)
    assert files_of(tmp_path) == expected


@pytest.mark.parametrize(
    ("settings", "flag"),
    [
        ({"prefix": "data/"}, "--output-prefix"),
        ({"prefix": ""}, "--output-prefix"),
        ({"workers": -1}, "--workers"),
        ({"partitions": 0}, "--partitions"),
        ({"log_interval": 0}, "--log-interval"),
        ({"max_documents": 0}, "--max-documents"),
        ({"keys": ("a", "a")}, "--json-keys"),
        ({"shard": (2, 2)}, "--shard"),
        ({"shard": (0, 2), "max_documents": 1}, "--max-documents"),
    ],
)
def test_settings_out_of_range_name_the_flag(settings, flag):
    with pytest.raises(ConfigurationError, match=f"^{flag}: "):
        Job(**{"prefix": "p", **settings})


def test_a_folder_that_cannot_be_made_is_named(tmp_path, corpus, run):
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match="file: cannot be written"):
        run(corpus, prefix="file/p")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("raise", "this document is too much"),
        ("dtype", "'toy' gave codes of dtype int64 and shape .*; promised is uint16"),
        ("code", "'toy' gave codes from 513 to 768; there are 512"),
        ("spans", r"'toy' gave spans up to \[\d+, \d+\] of a document of \[\d+, \d+\]"),
    ],
)
def test_a_compressor_that_breaks_its_contract_leaves_nothing_or_the_raw_view(tmp_path, corpus, run, fault, message):
    for workers in (0, 1):
        with pytest.raises(ValueError, match=message):
            run(corpus, options={"fault": fault}, workers=workers)
    assert files_of(tmp_path) == {}
    # One that has to learn is tried no sooner than it has.
    with pytest.raises(ValueError, match=message.replace("513 to 768", "519 to 774")):
        run(corpus, options={"fault": fault, "learn": True})
    assert list(manifest.read(tmp_path / "p").compressed) == []
    assert leftovers(tmp_path) == []
    assert not [name for name in files_of(tmp_path) if "toy" in name]


def test_spans_too_long_to_be_stored_are_an_error(tmp_path, run):
    corpus = write_corpus(tmp_path / "c.jsonl", ["x" * 65_535, "y" * 65_536])
    with pytest.raises(ValueError, match="'toy' gave spans of 65,535 to 65,536 bytes or codes; at most 65,535"):
        run(corpus)


def test_ranges_cover_all_documents_once(tmp_path, run, monkeypatch):
    corpus = write_corpus(tmp_path / "c.jsonl", ["x" * (number * 37 % 400) for number in range(200)] + ["", "", ""])
    run(corpus, compressors=())
    view = reader.ViewReader(Layout(tmp_path / "p").raw)
    for smallest in (1, 100, 1000, 10**6):
        monkeypatch.setattr(encode_module, "_SMALLEST_RANGE", smallest)
        for begin, end in [(0, 203), (50, 100), (200, 203), (7, 7)]:
            found = list(encode_module.ranges(view, (begin, end), 2))
            assert [number for pair in found for number in range(*pair)] == list(range(begin, end))
            assert all(stop > start for start, stop in found)
