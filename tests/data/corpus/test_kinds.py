"""Files that are no lines of JSON are named by what they are, in place of their lines."""

import bz2
import gzip
import io
import json
import lzma
import struct
import zipfile

import pytest
import zstandard

from megatron_proxy.data.corpus import documents, expand
from megatron_proxy.errors import CorpusError

LINES = b'{"text": "a"}\n{"text": "b"}\n'
RECORDS = [{"text": "a"}, {"text": "b"}]


def zipped():
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("c.jsonl", LINES)
    return content.getvalue()


FOREIGN = {
    "feather": (b"FEA1\0\0" + LINES, "a Feather file of version 1"),
    "lz4": (b"\x04\x22\x4d\x18d@" + LINES, "an lz4 file"),
    "zip": (zipped(), "a zip archive"),
    "index": (b"MMIDIDX\0\0\x01", r"a Megatron index \(\.idx\)"),
    "UTF-16": (LINES.decode().encode("utf-16"), "text in UTF-16 or UTF-32"),
    "UTF-16, no mark": (LINES.decode().encode("utf-16-be"), "text in UTF-16 or UTF-32"),
    "UTF-32": (LINES.decode().encode("utf-32"), "text in UTF-16 or UTF-32"),
    "array": (json.dumps(RECORDS).encode(), "a JSON array"),
    "array over lines": (json.dumps(RECORDS, indent=1).encode(), "a JSON array"),
    "array of strings": (b'["a", "b"]\n', "a JSON array"),
    "long array": (b"\n[" + b'"abc", ' * 200 + b'""]', "a JSON array"),
    "LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a pointer of Git LFS"),
}


TABLES = {
    "parquet": (b"PAR1\x15\x04" + LINES + b"PAR1", "a Parquet file"),
    "arrow": (b"ARROW1\0\0" + LINES, "an Arrow file"),
    "arrow stream": (b"\xff\xff\xff\xff\x10\x01\0\0" + LINES, "an Arrow file"),
}
PACK = {"gzip": gzip.compress, "zstd": zstandard.compress, "xz": lzma.compress, "bz2": bz2.compress}


@pytest.mark.parametrize("name", list(FOREIGN))
@pytest.mark.parametrize("ending", ["jsonl", "gz", "zst"])
def test_a_foreign_file_is_named_and_never_passed_over(tmp_path, name, ending):
    content, kind = FOREIGN[name]
    path = tmp_path / f"c.{ending}"
    path.write_bytes(content)
    for skip in (False, True):
        with pytest.raises(
            CorpusError, match=rf"c\.{ending}: the file is {kind}.*; lines of JSON are needed"
        ) as refused:
            list(documents([str(path)], skip_bad_lines=skip))
        assert "--skip-bad-lines" not in str(refused.value)
        assert refused.value.fix


@pytest.mark.parametrize("name", [*FOREIGN, *TABLES])
def test_so_it_is_when_packed(tmp_path, name):
    content, kind = (FOREIGN | TABLES)[name]
    for packing, pack in PACK.items():
        (tmp_path / "c").write_bytes(pack(content))
        with pytest.raises(CorpusError, match=rf"c: the file is {kind}.*, packed with {packing}; lines of JSON"):
            expand([str(tmp_path / "c")])
    (tmp_path / "c").write_bytes(gzip.compress(zstandard.compress(LINES)))
    with pytest.raises(CorpusError, match="the file is a zstd file, packed with gzip;"):
        expand([str(tmp_path / "c")])


def test_the_data_of_a_megatron_dataset_is_told_by_its_index(tmp_path):
    (tmp_path / "d.bin").write_bytes(LINES)
    assert list(documents([str(tmp_path / "d.bin")])) == [b"a", b"b"]
    (tmp_path / "d.idx").write_bytes(b"MMIDIDX\0\0\x01")
    with pytest.raises(CorpusError, match=r"d\.bin: the file is the data of a Megatron dataset \(\.bin\)"):
        expand([str(tmp_path / "d.bin")])


@pytest.mark.parametrize(
    "content",
    [
        LINES,
        b"\xef\xbb\xbf" + LINES,
        b"\n\n" + LINES,
        b'["x"]\n' + LINES,
        b"[]\n" + LINES,
        b"PAR\n" + LINES,
        b"BZh\n" + LINES,
    ],
)
def test_lines_with_a_bad_one_first_are_lines(tmp_path, content):
    (tmp_path / "c.jsonl").write_bytes(content)
    assert list(documents([str(tmp_path / "c.jsonl")], skip_bad_lines=True)) == [b"a", b"b"]


def skippable(content, number=0):
    return struct.pack("<II", 0x184D2A50 + number, len(content)) + content


@pytest.mark.parametrize("name", ["c.zst", "c.zstd", "c.jsonl", "c"])
def test_zstd_may_begin_with_frames_that_are_skipped(tmp_path, name):
    """As pzstd and seekable files do."""
    packed = skippable(b"x" * 700, 15) + skippable(b"") + zstandard.compress(LINES) + skippable(b"end")
    (tmp_path / name).write_bytes(packed)
    assert list(documents([str(tmp_path / name)])) == [b"a", b"b"]
    (tmp_path / name).write_bytes(skippable(b"nothing else"))
    assert list(documents([str(tmp_path / name)])) == []


def test_zstd_is_told_by_either_ending(tmp_path):
    for name in ("c.jsonl.zst", "c.jsonl.zstd"):
        (tmp_path / name).write_bytes(b"no zstd")
        with pytest.raises(CorpusError, match="the zstd stream is truncated or damaged"):
            list(documents([str(tmp_path / name)]))
