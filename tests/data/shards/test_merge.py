"""Shards and their merging: the bytes of one run, and nothing merged that does not belong together."""

import dataclasses
import gzip
import json

import pytest
from preparing import files_of, leftovers, write_corpus

from megatron_proxy.data.dataset import manifest
from megatron_proxy.data.dataset.layout import Layout
from megatron_proxy.data.prepare import Job, Recipe, prepare
from megatron_proxy.data.shards.merge import merge
from megatron_proxy.errors import CorpusError, DatasetError

NAMES = ("toy", "whole")


@pytest.fixture
def inputs(tmp_path):
    """Two plain files and a compressed one; some lines are bad."""
    lines = [json.dumps({"text": f"document {number}\n" * (number % 7)}) + "\n" for number in range(90)]
    lines[40] = "bad\n"
    lines[41] = "\n"
    lines[75] = '{"x": 1}\n'
    write_corpus(tmp_path / "a.jsonl", ["first"])
    (tmp_path / "b.jsonl").write_text("".join(lines[:60]))
    (tmp_path / "c.jsonl.gz").write_bytes(gzip.compress("".join(lines[60:]).encode()))
    return [str(tmp_path / "*.jsonl"), str(tmp_path / "c.jsonl.gz")]


@pytest.fixture
def whole(run, inputs, tmp_path):
    """The files of one run over everything."""
    run(*inputs, compressors=NAMES, prefix="whole", skip_bad_lines=True)
    files = files_of(tmp_path, "whole")
    return files


def put_together(tmp_path, **settings):
    report = []
    merge(str(tmp_path / "p"), report=report.append, **settings)
    return report


@pytest.mark.long
@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_merged_shards_are_the_bytes_of_one_run(tmp_path, run, inputs, whole, count):
    for index in range(count):
        run(*inputs, compressors=NAMES, shard=(index, count), skip_bad_lines=True)
    report = put_together(tmp_path, remove_shards=True)
    assert files_of(tmp_path) == whole
    assert report[0] == f"{tmp_path}/p: 88 documents of {count} shards in the raw view"
    assert leftovers(tmp_path) == []


def test_more_shards_than_documents(tmp_path, run):
    corpus = write_corpus(tmp_path / "c.jsonl", ["one", "two"])
    run(corpus, prefix="whole")
    for index in range(9):
        run(corpus, shard=(index, 9))
    assert manifest.read(tmp_path / "p_shard-00008-of-00009").documents == 0
    put_together(tmp_path, remove_shards=True)
    expected = files_of(tmp_path, "whole")
    assert files_of(tmp_path) == expected


def test_each_key_has_its_shards(tmp_path, run):
    path = tmp_path / "c.jsonl"
    path.write_text("".join(json.dumps({"a": str(n), "b": "x" * n}) + "\n" for n in range(9)) + "bad\n")
    run(str(path), keys=("a", "b"), prefix="q", skip_bad_lines=True)
    for index in range(2):
        run(str(path), keys=("a", "b"), shard=(index, 2), skip_bad_lines=True)
    for key in "ab":
        merge(str(tmp_path / f"p_{key}"), remove_shards=True, report=str)
        expected = files_of(tmp_path, f"q_{key}")
        assert files_of(tmp_path, f"p_{key}") == expected
        assert expected["_skipped_lines.txt"].startswith(f"{path}:10: ".encode())


@pytest.fixture
def shards(tmp_path, run, inputs):
    """Two shards of a corpus without bad lines."""
    corpus = write_corpus(tmp_path / "d.jsonl", [f"document {number}\n" for number in range(20)])
    for index in range(2):
        run(corpus, compressors=NAMES, shard=(index, 2))
    return corpus


def refused(tmp_path, message, kind=DatasetError, **settings):
    with pytest.raises(kind, match=message):
        put_together(tmp_path, **settings)
    assert not (tmp_path / "p_manifest.json").exists()
    assert leftovers(tmp_path) == []


def test_missing_shards_are_counted(tmp_path, shards, run):
    Layout(tmp_path / "p_shard-00001-of-00002").manifest.unlink()
    refused(tmp_path, r"1 of 2 shards are missing or unfinished: 1(.|\n)*--shard 1/2")
    Layout(tmp_path / "p_shard-00000-of-00002").manifest.unlink()
    refused(tmp_path, r"there are no shards(.|\n)*prepare … --shard i/n")


def test_shards_of_two_divisions_are_refused(tmp_path, shards, run):
    run(shards, compressors=NAMES, shard=(0, 3))
    refused(tmp_path, "shards of 2 and of 3 are there")


def test_a_renamed_shard_is_refused(tmp_path, shards):
    first, second = (tmp_path / f"p_shard-0000{index}-of-00002_manifest.json" for index in range(2))
    second.write_bytes(first.read_bytes())
    refused(tmp_path, r"says that it is shard \[0, 2\], not \[1, 2\]")


def test_shards_that_do_not_belong_together_are_refused(tmp_path, shards, run):
    other = write_corpus(tmp_path / "other.jsonl", [f"document {number}\n" for number in range(20)])
    run(other, compressors=NAMES, shard=(1, 2), overwrite=True)
    # The same documents under another name are the same shard; the manifest keeps the first name.
    put_together(tmp_path)
    for path in tmp_path.glob("p_[!s]*"):
        path.unlink()
    run(shards, compressors=("toy",), shard=(1, 2), overwrite=True, options={"shift": 9})
    refused(tmp_path, r"p_shard-00001-of-00002_manifest.json: does not belong .*compressors' fingerprints differ")


def test_shards_of_other_files_or_releases_are_refused(tmp_path, shards):
    prefix = tmp_path / "p_shard-00001-of-00002"
    content = manifest.read(prefix)
    for change, message in [
        ({"source": {**content.source, "inputs": ["e.jsonl"]}}, "corpus and flags differ"),
        ({"versions": {**content.versions, "zstandard": "0.1"}}, "versions differ"),
    ]:
        Layout(prefix).manifest.write_text(dataclasses.replace(content, **change).to_json())
        refused(tmp_path, message)


@pytest.mark.parametrize("name", ["raw_document.bin", "toy_document.bin", "toy_spans.idx", "whole_document.idx"])
def test_a_damaged_shard_is_found(tmp_path, shards, name):
    path = tmp_path / f"p_shard-00001-of-00002_{name}"
    content = bytearray(path.read_bytes())
    content[-1 if name.endswith("bin") else 40] ^= 1
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=r"not what its manifest says \(SHA-256\)|outside|its index says"):
        put_together(tmp_path)
    assert leftovers(tmp_path) == []


def test_a_truncated_shard_is_found_before_anything_is_written(tmp_path, shards):
    path = tmp_path / "p_shard-00001-of-00002_toy_document.bin"
    path.write_bytes(path.read_bytes()[:-1])
    refused(tmp_path, r"toy_document\.bin: the file has")


def test_a_dataset_that_is_there_is_not_replaced_unasked(tmp_path, shards):
    put_together(tmp_path)
    before = files_of(tmp_path)
    with pytest.raises(DatasetError, match=r"p: is prepared already(.|\n)*--overwrite"):
        put_together(tmp_path)
    put_together(tmp_path, overwrite=True)
    assert files_of(tmp_path) == before


def test_shards_of_an_empty_corpus_are_an_error(tmp_path):
    corpus = write_corpus(tmp_path / "e.jsonl", [""])
    for index in range(2):
        job = Job(str(tmp_path / "p"), [corpus], [Recipe("toy")], workers=0, shard=(index, 2), report=str)
        prepare(job)
    refused(tmp_path, "all shards are empty", kind=CorpusError)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DatasetError, match=r"nowhere: cannot be read"):
        merge(str(tmp_path / "nowhere" / "p"))
