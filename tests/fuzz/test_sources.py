"""Tables, archives, folders and texts that nobody meant as a corpus: documents, or an error with its place."""

from contextlib import suppress

import pytest
from fuzzing import damaged, inputs
from hypothesis import given
from hypothesis import strategies as st
from sources import as_tar, members_of, write_files, write_tables

from megatron_proxy.data.corpus import Taking, chunks, documents, expand, read_chunk
from megatron_proxy.errors import CorpusError

TEXTS = ["", "one\n\ntwo", "é🦜", *(f"row {number}\n" * number for number in range(20))]
edits = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 5), st.binary(max_size=4)), max_size=3)


def read(path, taking, size):
    found = []
    for chunk in chunks(expand([str(path)], taking), size=size):
        found += read_chunk(chunk, ["text"]).documents[0]
    assert all(isinstance(document, bytes) for document in found)
    return found


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    pytest.importorskip("pyarrow", reason="the extra parquet is not installed")
    folder = tmp_path_factory.mktemp("tables")
    write_tables(folder, TEXTS, {})
    return {
        "Parquet": (folder / "c.parquet").read_bytes(),
        "Arrow": (folder / "c.arrow").read_bytes(),
        "an Arrow stream": (folder / "saved" / "data-00001-of-00002.arrow").read_bytes(),
    }


@pytest.mark.long
@pytest.mark.parametrize("kind", ["Parquet", "Arrow", "an Arrow stream"])
@inputs(60)
@given(edits=edits, size=st.integers(1, 500), keep=st.floats(0, 1))
def test_any_table_is_read_or_refused(tmp_path_factory, tables, tried, kind, edits, size, keep):
    tried(kind)
    path = tmp_path_factory.getbasetemp() / "table"
    for content in (damaged(tables[kind], edits), tables[kind][: int(keep * len(tables[kind]))]):
        path.write_bytes(content)
        with suppress(CorpusError):
            read(path, Taking(), size)


@pytest.mark.long
@inputs(60)
@given(edits=edits, size=st.integers(1, 500), pattern=st.sampled_from([None, "*", "*.txt"]))
def test_any_archive_is_read_or_refused(tmp_path_factory, tried, edits, size, pattern):
    tried("a tar archive")
    path = tmp_path_factory.getbasetemp() / "archive"
    path.write_bytes(damaged(as_tar(members_of(TEXTS) | {"a.json": b'{"text": "x"}'}), edits))
    with suppress(CorpusError):
        read(path, Taking(files=pattern), size)


@inputs(60)
@given(content=st.binary(max_size=60), how=st.sampled_from(["file", "blank-line"]), size=st.integers(1, 20))
def test_any_text_is_read_or_refused(tmp_path_factory, tried, content, how, size):
    tried("plain text")
    path = tmp_path_factory.getbasetemp() / "text"
    path.write_bytes(content)
    with suppress(CorpusError):
        found = read(path, Taking(text_documents=how), size)
        assert found == list(documents([str(path)], taking=Taking(text_documents=how)))
        assert how == "blank-line" or found == [content]


@inputs(30)
@given(names=st.lists(st.text("a.é \n\\*[", min_size=1, max_size=6), max_size=5), content=st.binary(max_size=9))
def test_any_folder_is_read_or_refused(tmp_path_factory, tried, names, content):
    tried("a folder")
    folder = tmp_path_factory.mktemp("folder")
    names = {name for name in names if name not in (".", "..")}
    write_files(folder, dict.fromkeys(names, content))
    taken = {name for name in names if not name.startswith(".")} if b"\0" not in content else set()
    assert read(folder, Taking(files="*"), 5) == [content] * len(taken)
