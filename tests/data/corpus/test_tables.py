"""Tables: columns of every form, groups of every size, and files that are damaged."""

import itertools
import json
import re
import subprocess
import sys

import pytest

from megatron_proxy.data.corpus import Taking, chunks, documents, expand, read_chunk
from megatron_proxy.errors import ConfigurationError, CorpusError

TEXTS = ["", "é🦜", "a\0b", "x" * 3000, *(f"row {number}" for number in range(200))]
BYTES = [text.encode() for text in TEXTS]


def test_without_pyarrow_the_extra_is_named(tmp_path, monkeypatch):
    (tmp_path / "c").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigurationError, match=r"the package pyarrow(.|\n)*megatron-proxy\[parquet\]"):
        expand([str(tmp_path / "c")])


ABSENT = """
import importlib.abc, sys
class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] == "pyarrow":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
from megatron_proxy.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.long
def test_a_process_without_pyarrow_prepares_all_but_tables(tmp_path):
    (tmp_path / "c.jsonl").write_text('{"text": "a"}\n')
    (tmp_path / "c.parquet").write_bytes(b"PAR1")
    command = [sys.executable, "-c", ABSENT, "prepare", "--workers", "0", "--output-prefix", str(tmp_path / "p")]
    lines, table = (
        subprocess.run([*command, "--input", str(tmp_path / name)], capture_output=True, text=True, check=False)
        for name in ("c.jsonl", "c.parquet")
    )
    assert (lines.returncode, lines.stderr) == (0, "")
    assert (table.returncode, table.stderr.splitlines()) == (
        1,
        [
            f"megatron-proxy: error: {tmp_path / 'c.parquet'}: the package pyarrow is not installed",
            "  what to do: pip install 'megatron-proxy[parquet]'",
        ],
    )


def test_folders_of_datasets(tmp_path):
    (tmp_path / "dataset_dict.json").write_text("{}")
    with pytest.raises(CorpusError, match="holds several splits"):
        expand([str(tmp_path)])
    (tmp_path / "dataset_dict.json").unlink()
    for state in ("", "[]", "{}", '{"_data_files": [1]}', '{"_data_files": [{}]}'):
        (tmp_path / "state.json").write_text(state)
        with pytest.raises(CorpusError, match=r"state\.json: does not name a dataset's files"):
            expand([str(tmp_path)])
    (tmp_path / "state.json").write_text(json.dumps({"_data_files": [{"filename": "../x.arrow"}]}))
    with pytest.raises(CorpusError, match=r"state\.json: names a file outside its folder, '\.\./x\.arrow'"):
        expand([str(tmp_path)], Taking(files="*"))


pa = pytest.importorskip("pyarrow", reason="the extra parquet is not installed")
parquet = pytest.importorskip("pyarrow.parquet")


def parquet_file(path, table, **options):
    parquet.write_table(table, path, **options)
    return str(path)


def arrow_file(path, table, new=pa.ipc.new_file, **options):
    with pa.OSFile(str(path), "wb") as file, new(file, table.schema) as writer:
        writer.write_table(table, **options)
    return str(path)


@pytest.mark.long
@pytest.mark.parametrize("size", [1, 500, 1 << 20])
def test_groups_and_batches_of_any_size(tmp_path, size):
    table = pa.table({"text": TEXTS, "n": range(len(TEXTS))})
    paths = [
        parquet_file(tmp_path / "one", table),
        parquet_file(tmp_path / "many", table, row_group_size=7, compression="zstd"),
        arrow_file(tmp_path / "file", table, max_chunksize=50),
        arrow_file(tmp_path / "stream", table, pa.ipc.new_stream, max_chunksize=11),
    ]
    for path in paths:
        for order in (1, -1):
            found = list(chunks(expand([path]), size=size))[::order]
            parts = [read_chunk(chunk, ["text"]).documents[0] for chunk in found]
            assert [*itertools.chain(*parts[::order])] == BYTES
            assert size > 1 or len(found) == len(TEXTS)
            on_disk = expand([path])[0].size
            assert size > 1 or 0.9 * on_disk < sum(chunk.disk_bytes for chunk in found) <= on_disk


def test_columns_of_every_form(tmp_path):
    raw = [b"a\xff", b"", b"bc"]
    texts = ["a", "", "bc"]
    for kind, values in [
        (pa.binary(), raw),
        (pa.large_binary(), raw),
        (pa.binary(2), [b"ab", b"\xff\0", b"cd"]),
        (pa.string(), texts),
        (pa.large_string(), texts),
        (pa.dictionary(pa.int32(), pa.string()), texts),
        (pa.string_view(), texts),
        (pa.binary_view(), raw),
    ]:
        path = arrow_file(tmp_path / "c", pa.table({"text": pa.array(values, type=kind)}))
        assert list(documents([path])) == [one if isinstance(one, bytes) else one.encode() for one in values], kind


def test_keys_reach_into_records(tmp_path):
    rows = [{"meta": {"a": {"b": "x"}, "a.b": "flat"}, "m.t": "1"}, {"meta": {"a": None, "a.b": None}, "m.t": "2"}]
    table = pa.Table.from_pylist(rows)
    for path in (parquet_file(tmp_path / "p", table), arrow_file(tmp_path / "a", table)):
        assert list(documents([path], "m.t")) == [b"1", b"2"]
        with pytest.raises(CorpusError, match=r"row 2: the value of 'meta\.a\.b' is null"):
            list(documents([path], "meta.a.b"))
        assert list(documents([path], "meta.a.b", skip_bad_lines=True)) == [b"flat"]
        for key in ("meta.x", "m.t.x", "x.y", "meta.a.b.c"):
            with pytest.raises(CorpusError, match=f"^{re.escape(path)}: the table lacks the column"):
                list(documents([path], key))
        with pytest.raises(CorpusError, match=rf"^{re.escape(path)}: the column 'meta' holds struct<.*, not text"):
            list(documents([path], "meta"))


def test_a_document_that_is_too_long_is_a_bad_row(tmp_path, monkeypatch):
    monkeypatch.setattr("megatron_proxy.data.corpus.tables.MAX_DOCUMENT_BYTES", 2)
    path = parquet_file(tmp_path / "p", pa.table({"text": ["ab", "abc", "d"]}))
    with pytest.raises(CorpusError, match="p, row 2: the document has 3 bytes"):
        list(documents([path]))
    assert list(documents([path], skip_bad_lines=True)) == [b"ab", b"d"]


def test_truncated_tables_are_never_taken_for_whole_ones(tmp_path):
    table = pa.table({"text": TEXTS})
    for path in (
        parquet_file(tmp_path / "p", table, row_group_size=50),
        arrow_file(tmp_path / "f", table, max_chunksize=50),
        arrow_file(tmp_path / "s", table, pa.ipc.new_stream, max_chunksize=50),
    ):
        with open(path, "rb") as file:
            whole = file.read()
        for keep in (12, 400, len(whole) // 2, len(whole) - 8, len(whole) - 1):
            with open(path, "wb") as file:
                file.write(whole[:keep])
            with pytest.raises(CorpusError, match=r"the (Parquet|Arrow) file is truncated or damaged"):
                list(documents([path]))
