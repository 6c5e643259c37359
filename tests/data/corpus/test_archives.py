"""Tar archives: which members are documents, and archives that are damaged."""

import gzip
import io
import json
import random
import tarfile

import pytest
from sources import as_tar

from megatron_proxy.data.corpus import Taking, chunks, documents, expand, read_chunk
from megatron_proxy.errors import CorpusError

MEMBERS = {
    "b/1.json": b'{"text": "one",\n "meta": {"lang": "py"}}\n',
    "b/1.jpg": b"\xff\xd8\0",
    "a.txt": b"two\n",
    ".hidden.txt": b"x",
    "n.txt": b"NUL \0 inside",
}


def write(path, content):
    path.write_bytes(content)
    return str(path)


def taken(path, pattern=None, key="text"):
    found = [read_chunk(chunk, [key]) for chunk in chunks(expand([path], Taking(files=pattern)), size=1)]
    left_out = {}
    for parsed in found:
        for what, count in parsed.left_out.items():
            left_out[what] = left_out.get(what, 0) + count
    return [document for parsed in found for document in parsed.documents[0]], left_out


def test_records_and_texts_in_their_order(tmp_path):
    path = write(tmp_path / "a", as_tar(MEMBERS))
    assert taken(path) == ([b"one", b"two\n", b"NUL \0 inside"], {"hidden": 1, "of another kind": 1})
    assert taken(path, key="meta.lang")[0] == [b"py", b"two\n", b"NUL \0 inside"]


def test_members_that_a_glob_takes_are_documents_as_they_are(tmp_path):
    path = write(tmp_path / "a.tar.gz", gzip.compress(as_tar(MEMBERS)))
    assert taken(path, "*.json") == ([MEMBERS["b/1.json"]], {"hidden": 1})
    assert taken(path, "*") == ([MEMBERS["b/1.json"], b"two\n"], {"hidden": 1, "binary": 2})
    assert taken(path, "b/*")[0] == [MEMBERS["b/1.json"]]


def test_bad_members_have_their_names(tmp_path, monkeypatch):
    members = {
        "1.json": b'{"text": "a"}',
        "2.json": b'{"content": "bb"}',
        "3.json": b" ",
        "4.json": b"[",
        "5.txt": b"c",
    }
    path = write(tmp_path / "a.tar", as_tar(members))
    with pytest.raises(CorpusError, match=r"a\.tar, member 2\.json: the member lacks the key 'text'") as refused:
        list(documents([path]))
    assert "--json-keys content" in refused.value.fix
    assert list(documents([path], skip_bad_lines=True)) == [b"a", b"c"]
    (chunk,) = chunks(expand([path]))
    assert [bad.reason.split(" (")[0] for bad in read_chunk(chunk, ["text"]).bad] == [
        "the member lacks the key 'text'",
        "the member is empty, not a JSON object",
        "the member is not JSON",
    ]
    with pytest.raises(CorpusError, match=r"member 5\.txt: has one text for each document, not text, text2"):
        read_chunk(chunk, ["text", "text2"])
    monkeypatch.setattr("megatron_proxy.data.corpus.archives.MAX_DOCUMENT_BYTES", 13)
    with pytest.raises(CorpusError, match=r"member 2\.json: the document has 17 bytes, more than an index can hold"):
        list(documents([path]))
    assert list(documents([path], skip_bad_lines=True)) == [b"a", b"c"]


def test_members_of_lines(tmp_path):
    lines = b'\xef\xbb\xbf{"text": "a"}\n\n{"text": "b"}\r\n{"no": "c"}\n{"text": "d"}'
    path = write(tmp_path / "a.tar", as_tar({"1.json": b'{"text": "0"}', "2.jsonl": lines, "3.txt": b"e"}))
    with pytest.raises(CorpusError, match=r"a\.tar, member 2\.jsonl:4: the line lacks the key 'text'"):
        list(documents([path]))
    (chunk,) = chunks(expand([path]))
    parsed = read_chunk(chunk, ["text"])
    assert parsed.documents == [[b"0", b"a", b"b", b"d", b"e"]]
    assert [(bad.line, bad.documents_before) for bad in parsed.bad] == [(1, 3)]


def test_a_member_of_ten_gigabytes_is_not_read(tmp_path):
    info = tarfile.TarInfo("huge.txt")
    info.size = 10 << 30
    path = write(tmp_path / "a.tar", info.tobuf() + bytes(4096))
    with pytest.raises(CorpusError, match="the tar archive is truncated or damaged"):
        list(documents([path]))


def test_links_and_folders_are_no_documents(tmp_path):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for name, kind in (("a.txt", tarfile.SYMTYPE), ("b.txt", tarfile.LNKTYPE), ("c.txt", tarfile.DIRTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
    assert taken(write(tmp_path / "a.tar", content.getvalue())) == ([], {})


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_damaged_archive_is_never_taken_for_a_whole_one(tmp_path, pack):
    members = {f"{number}.txt": json.dumps("x" * 700).encode() for number in range(4)}
    whole = as_tar(members)
    size = len(whole.rstrip(b"\0")) + 512
    path = tmp_path / "a.tar"
    tried = [whole[:cut] for cut in (600, 1000, 1536, 2048, 3 * 1536, 4 * 1536)]
    tried += [whole + whole, whole[:1600] + b"\1" * 300 + whole[1900:], whole[:size] + b"more"]
    for content in tried:
        path.write_bytes(pack(content))
        with pytest.raises(CorpusError, match=r"a\.tar, behind .*: the tar archive is truncated or damaged"):
            list(documents([str(path)]))


def test_a_packed_archive_whose_packing_is_damaged(tmp_path):
    members = {f"{number}.txt": random.Random(number).randbytes(700_000) for number in range(4)}
    path = write(tmp_path / "a.tar", gzip.compress(as_tar(members))[:-9])
    with pytest.raises(CorpusError, match=r"a\.tar, behind .*: the gzip stream is truncated or damaged"):
        list(documents([path]))
