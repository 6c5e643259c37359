"""Sources behind addresses: the same documents as on this machine, and what is said where they cannot be read."""

import importlib.util
import sys

import pytest
from preparing import files_of, leftovers
from sources import write_all

from megatron_proxy.common.storage import remote
from megatron_proxy.data.corpus import Taking, chunks, documents, expand
from megatron_proxy.data.prepare import Job, prepare
from megatron_proxy.errors import ConfigurationError, CorpusError

fsspec = pytest.importorskip("fsspec", reason="the extra remote is not installed")

TEXTS = [f"document {number}\n\n{'y🦜' * (number % 40)}" for number in range(400)] + [""]
HERE = "memory://corpora"


@pytest.fixture
def there():
    """A file system in the memory of this process."""
    system = fsspec.filesystem("memory")
    yield system
    system.store.clear()
    system.pseudo_dirs[:] = [""]


def test_sources_of_every_kind(tmp_path, there):
    found = write_all(tmp_path, TEXTS)
    for name, (path, taking) in found.items():
        if name in ("files", "saved", "c.arrow"):
            continue
        there.pipe(f"/corpora/{name}", (tmp_path / name).read_bytes())
        address = f"{HERE}/{name}"
        assert list(documents([address], taking=taking)) == list(documents([path], taking=taking)), name
        assert [source.kind for source in expand([address], taking)] == [
            source.kind for source in expand([path], taking)
        ]
    for how in ("file", "blank-line"):
        taking = Taking(text_documents=how)
        local = list(documents([str(tmp_path / "c.jsonl")], taking=taking))
        assert list(documents([f"{HERE}/c.jsonl"], taking=taking)) == local
    # Stretches of a plain file, each read where it lies.
    assert len(list(chunks(expand([f"{HERE}/c.jsonl"]), size=1000))) > 10
    assert [source.path for source in expand([f"{HERE}/c.jsonl.*"])] == [
        f"memory:///corpora/c.jsonl.{ending}" for ending in ("bz2", "gz", "xz", "zst")
    ]


def test_workers_read_them_too(tmp_path):
    write_all(tmp_path, TEXTS)
    names = ["c.jsonl", "texts.tar.gz", "c.jsonl.zst"]
    for prefix, place in (("local", ""), ("remote", "file://")):
        inputs = [f"{place}{tmp_path / name}" for name in names]
        prepare(Job(str(tmp_path / prefix), inputs, workers=1, report=str))
    for name in ("_raw_document.bin", "_raw_document.idx"):
        assert files_of(tmp_path, "remote")[name] == files_of(tmp_path, "local")[name]
    assert leftovers(tmp_path) == []


def test_what_cannot_be_read(tmp_path, there, monkeypatch):
    there.pipe("/corpora/c.jsonl", b'{"text": "a"}\n')
    there.pipe("/corpora/c.arrow", b"ARROW1\0\0")
    there.pipe("/corpora/bad.jsonl", b'{"text": "a"}\n{"text": 1}\n')
    for address, message in [
        (f"{HERE}/none.jsonl", r"none\.jsonl: cannot be read \(No such file\)"),
        (f"{HERE}/*.json", r"--input: no file matches 'memory://corpora/\*\.json'"),
        (HERE, r"corpora: cannot be read \(it is a folder: name the files in it\)"),
        (f"{HERE}/c.arrow", r"c\.arrow: Arrow files are mapped into memory, not read over a network"),
        (f"{HERE}/bad.jsonl", r"bad\.jsonl:2: the value of 'text' is a number"),
        ("nowhere://x/y", r"cannot be read \(ValueError: Protocol not known: nowhere"),
        ("nowhere://x/*", r"cannot be read \(ValueError: Protocol not known: nowhere"),
    ]:
        with pytest.raises(CorpusError, match=message):
            list(documents([address]))

    class Broken:
        def read(self, size):
            raise RuntimeError("the connection is lost")

        def close(self):
            pass

    with pytest.raises(OSError, match="RuntimeError: the connection is lost"):
        remote._Remote(Broken()).read(1)
    job = Job(str(tmp_path / "p"), [f"{HERE}/c.jsonl"], workers=0, report=str)
    monkeypatch.setattr("megatron_proxy.data.prepare.raw_view.size_of", lambda path: 99)
    with pytest.raises(CorpusError, match=r"c\.jsonl: the file changed while it was read"):
        prepare(job)


def test_packages_that_are_missing(monkeypatch):
    if importlib.util.find_spec("s3fs") is None:
        with pytest.raises(
            ConfigurationError, match=r"s3://b/c: the package s3fs is not installed(.|\n)*proxy\[remote\]"
        ):
            expand(["s3://b/c"])
    if importlib.util.find_spec("paramiko") is None:
        with pytest.raises(ConfigurationError, match=r"sftp://b/c: a package is missing for sftp:// \("):
            expand(["sftp://b/c"])
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(
        ConfigurationError, match=r"gs://b/c: the package fsspec is not installed(.|\n)*proxy\[remote\]"
    ):
        expand(["gs://b/c"])
