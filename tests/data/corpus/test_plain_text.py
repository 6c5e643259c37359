"""Plain text: whole files, and what blank lines part, wherever blocks end."""

import gzip
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sources import give_input

from megatron_proxy.data.corpus import Taking, chunks, documents, expand, read_chunk
from megatron_proxy.data.corpus import plain_text as module
from megatron_proxy.errors import CorpusError

FILES, PARTS = Taking(text_documents="file"), Taking(text_documents="blank-line")


def test_a_file_is_a_document_as_it_is(tmp_path, monkeypatch):
    content = b'{"text": 1}\n\n\0 and\r\n \xff'
    paths = [tmp_path / "a.txt", tmp_path / "b.txt.gz", tmp_path / "empty"]
    for path, written in zip(paths, (content, gzip.compress(content), b""), strict=True):
        path.write_bytes(written)
    give_input(monkeypatch, content)
    assert list(documents([*map(str, paths), "-"], taking=FILES)) == [content, content, b"", content]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"a\nb\n\nc\n", [b"a\nb", b"c"]),
        (b"\n \n\xef\xbb\xbfa\n\t\n\n b", [b"\xef\xbb\xbfa", b" b"]),
        (b"\xef\xbb\xbfa\r\nb\r\n\r\nc\r\n", [b"a\r\nb", b"c"]),
        (b"", []),
        (b"\n\n", []),
    ],
)
def test_blank_lines_part_documents(tmp_path, content, found):
    for name, written in (("a.txt", content), ("a.gz", gzip.compress(content))):
        (tmp_path / name).write_bytes(written)
        assert list(documents([str(tmp_path / name)], taking=PARTS)) == found


@given(st.text("a\n \r", max_size=60), st.integers(1, 9))
def test_blocks_lose_and_join_nothing(tmp_path_factory, text, size):
    path = tmp_path_factory.getbasetemp() / "parts.txt"
    path.write_bytes(text.encode())
    (whole,) = [*chunks(expand([str(path)], PARTS))] or [None]
    expected = read_chunk(whole, ["text"]).documents[0] if whole else []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("megatron_proxy.data.corpus.decompress._PIECE_BYTES", size)
        found = [read_chunk(chunk, ["text"]).documents[0] for chunk in chunks(expand([str(path)], PARTS), size=1)]
    assert [*itertools.chain(*found)] == expected


def test_a_document_that_is_too_long_has_its_line(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_DOCUMENT_BYTES", 3)
    (tmp_path / "a.txt").write_bytes(b"a\n\nb\n\n\nlonger\nc\n\nd")
    with pytest.raises(CorpusError, match=r"a\.txt:6: the document has 8 bytes"):
        list(documents([str(tmp_path / "a.txt")], taking=PARTS))
    assert list(documents([str(tmp_path / "a.txt")], taking=PARTS, skip_bad_lines=True)) == [b"a", b"b", b"d"]
