"""The same documents give the same views, whatever they came in."""

import gzip
import json

import pytest
from preparing import files_of, leftovers
from sources import ALL_FILES, as_lines, give_input, write_all, write_files

from megatron_proxy.data import corpus as corpus_module
from megatron_proxy.data.corpus import Taking
from megatron_proxy.data.dataset import manifest
from megatron_proxy.data.prepare import Job, prepare
from megatron_proxy.data.shards.merge import merge
from megatron_proxy.errors import ConfigurationError, CorpusError

TEXTS = ["x🦜\r\n" * (number % 7) + f"document {number}\n\n{'y' * (number % 40)}" for number in range(999)] + [""]


def views(folder, prefix):
    return {name: content for name, content in files_of(folder, prefix).items() if name.startswith("_raw")}


def make(folder, prefix, path, taking, **job):
    report = []
    prepare(Job(prefix=str(folder / prefix), inputs=[path], taking=taking, report=report.append, **job))
    return report


@pytest.mark.long
def test_a_thousand_documents_of_every_kind_give_the_same_raw_view(tmp_path, monkeypatch):
    found = write_all(tmp_path, TEXTS)
    monkeypatch.setattr(corpus_module.chunks, "__kwdefaults__", {"shard": (0, 1), "size": 5000})
    make(tmp_path, "expected", *found["c.jsonl"], workers=0)
    expected = views(tmp_path, "expected")
    assert len(expected) == 2
    content = manifest.read(str(tmp_path / "expected"))
    assert content.documents == 1000
    for number, (name, (path, taking)) in enumerate(found.items()):
        for workers in (0, 1 + number % 2):
            make(tmp_path, f"p{number}-{workers}", path, taking, workers=workers)
            assert views(tmp_path, f"p{number}-{workers}") == expected, name
        for shard in range(3):
            make(tmp_path, f"s{number}", path, taking, workers=0, shard=(shard, 3))
        merge(str(tmp_path / f"s{number}"), report=lambda line: None)
        assert views(tmp_path, f"s{number}") == expected, name
    for pack in (bytes, gzip.compress):
        give_input(monkeypatch, pack(as_lines(TEXTS)))
        make(tmp_path, f"i{pack.__name__}", "-", Taking(), workers=2)
        assert views(tmp_path, f"i{pack.__name__}") == expected
    assert leftovers(tmp_path) == []


def test_kinds_side_by_side_and_what_the_manifest_says(tmp_path):
    found = write_all(tmp_path, ["a", "b"])
    write_files(tmp_path / "files", {".git/x.txt": b"hidden", "z.txt": b"bin\0ary", "other.py": b"not asked for"})
    names = ["c.jsonl.xz", "files", "files.tar"]
    report = []
    job = Job(str(tmp_path / "p"), [found[name][0] for name in names], taking=ALL_FILES, report=report.append)
    prepare(job)
    content = manifest.read(str(tmp_path / "p"))
    assert content.documents == 6
    assert content.source == {
        "inputs": names,
        "json_key": "text",
        "max_documents": None,
        "skipped_lines": 0,
        "kinds": ["JSONL", "folder", "tar"],
        "files": "*.txt",
        "left_out": {"binary": 1, "hidden": 1},
    }
    assert report[-1] == "files that were left out: 1 binary, 1 hidden"
    for shard in range(2):
        make(tmp_path, "s", found["files"][0], ALL_FILES, shard=(shard, 2))
    merge(str(tmp_path / "s"), report=report.append)
    assert manifest.read(str(tmp_path / "s")).source["left_out"] == {"binary": 1, "hidden": 1}


def test_shards_cannot_share_standard_input(tmp_path):
    with pytest.raises(ConfigurationError, match="shards cannot share standard input"):
        make(tmp_path, "p", "-", Taking(), shard=(0, 2))


@pytest.mark.long
@pytest.mark.parametrize("workers", [0, 2])
def test_bad_ones_are_listed_with_their_places_and_errors_leave_nothing(tmp_path, workers):
    pa = pytest.importorskip("pyarrow", reason="the extra parquet is not installed")
    from pyarrow import parquet

    path = tmp_path / "c.parquet"
    parquet.write_table(pa.table({"text": ["a", None, "b"], "n": [1, 2, 3]}), path)
    with pytest.raises(CorpusError, match=r"c\.parquet, row 2: the value of 'text' is null"):
        make(tmp_path, "p", str(path), Taking(), workers=workers)
    make(tmp_path, "skipped", str(path), Taking(), workers=workers, skip_bad_lines=True)
    assert (tmp_path / "skipped_skipped_lines.txt").read_text() == (
        f"{path}, row 2: the value of 'text' is null, not a string\n"
    )
    with pytest.raises(
        CorpusError, match=r"c\.parquet: the table lacks the column 'body' \(its columns: 'text', 'n'\)"
    ):
        make(tmp_path, "p", str(path), Taking(), workers=workers, keys=["body"], skip_bad_lines=True)
    with pytest.raises(CorpusError, match=r"c\.parquet: the column 'n' holds int64, not text"):
        make(tmp_path, "p", str(path), Taking(), workers=workers, keys=["n"], skip_bad_lines=True)
    assert not list(tmp_path.glob("p_*"))
    assert leftovers(tmp_path) == []
    assert json.loads((tmp_path / "skipped_manifest.json").read_bytes())["source"]["kinds"] == ["Parquet"]
