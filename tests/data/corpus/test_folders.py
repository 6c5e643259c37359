"""Folders: which files are documents, in which order, what is left out, and what is an error."""

import os

import pytest
from sources import write_files

from megatron_proxy.data.corpus import Taking, chunks, documents, expand, read_chunk
from megatron_proxy.errors import CorpusError


def taken(folder, pattern="*"):
    left_out, found = {}, []
    for chunk in chunks(expand([str(folder)], Taking(files=pattern))):
        parsed = read_chunk(chunk, ["text"])
        found += parsed.documents[0]
        for what, count in parsed.left_out.items():
            left_out[what] = left_out.get(what, 0) + count
    return found, left_out


def test_files_are_taken_by_path_and_others_left_out(tmp_path):
    write_files(
        tmp_path,
        {
            "b.py": b"2",
            "a/z.py": b"1",
            "a.py": b"0",
            "c.txt": b"3",
            "empty.py": b"",
            ".hidden.py": b"x",
            ".git/config.py": b"x",
            "bin.py": b"\0",
            "odd\n.py": b"\xff\xfe",
        },
    )
    (tmp_path / "link.py").symlink_to("b.py")
    (tmp_path / "folder").symlink_to("a")
    left_out = {"hidden": 2, "links": 2, "binary": 1}
    assert taken(tmp_path, "*.py") == ([b"0", b"1", b"2", b"", b"\xff\xfe"], left_out)
    assert taken(tmp_path, "a/*") == ([b"1"], {"hidden": 2, "links": 2})
    assert taken(tmp_path, "*.cpp") == ([], {"hidden": 2, "links": 2})


def test_an_empty_file_at_the_end_belongs_to_the_last_shard(tmp_path):
    write_files(tmp_path, {"a.py": b"12345", "b.py": b"", "c.py": b""})
    sources = expand([str(tmp_path)], Taking(files="*.py"))
    shards = [[read_chunk(one, ["t"]).documents[0] for one in chunks(sources, shard=(i, 3))] for i in range(3)]
    assert shards == [[[b"12345"]], [], [[b"", b""]]]


def test_errors_name_the_file(tmp_path, monkeypatch):
    inside = tmp_path / "in"
    write_files(tmp_path, {"out.py": b"x", "in/a.py": b"12"})
    link = inside / "b.py"
    for target in ("../out.py", "/etc/passwd", ".."):
        link.symlink_to(target)
        with pytest.raises(CorpusError, match=r"in/b\.py: the link leaves the folder, to '/"):
            taken(inside)
        link.unlink()
    os.mkfifo(inside / "pipe")
    with pytest.raises(CorpusError, match="in/pipe: neither a file nor a folder"):
        taken(inside)
    (inside / "pipe").unlink()
    sources = expand([str(inside)], Taking(files="*"))
    (chunk,) = chunks(sources)
    with pytest.raises(CorpusError, match="in: has one text for each document, not a, b"):
        read_chunk(chunk, ["a", "b"])
    (inside / "a.py").write_bytes(b"123")
    with pytest.raises(CorpusError, match=r"in/a\.py: the file changed while it was read"):
        read_chunk(chunk, ["text"])
    (inside / "a.py").unlink()
    with pytest.raises(CorpusError, match=r"in/a\.py: cannot be read \(No such file"):
        read_chunk(chunk, ["text"])
    monkeypatch.setattr("megatron_proxy.data.corpus.folders.MAX_DOCUMENT_BYTES", 1)
    (inside / "a.py").write_bytes(b"12")
    with pytest.raises(CorpusError, match=r"in/a\.py: the document has 2 bytes, more than an index can hold"):
        list(documents([str(inside)], taking=Taking(files="*")))
