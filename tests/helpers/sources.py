"""The same documents in a source of every kind."""

import bz2
import gzip
import io
import json
import lzma
import sys
import tarfile

import zstandard

from megatron_proxy.data.corpus import Taking
from megatron_proxy.data.corpus.decompress import StandardInput

PACK = {".gz": gzip.compress, ".zst": zstandard.compress, ".xz": lzma.compress, ".bz2": bz2.compress}
ALL_FILES = Taking(files="*.txt")


def as_lines(texts):
    return b"".join(json.dumps({"text": text}).encode() + b"\n" for text in texts)


def as_tar(members):
    """A tar archive of names and contents."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for name, member in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(member)
            archive.addfile(info, io.BytesIO(member))
    return content.getvalue()


def members_of(texts, ending=".txt"):
    return {f"{number // 100:02}/{number:05}{ending}": text.encode() for number, text in enumerate(texts)}


def write_files(folder, members):
    for name, content in members.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def write_all(folder, texts):
    """Every kind of source, with how it is taken: name → (path, taking). Tables are there if pyarrow is."""
    found = {}
    lines = as_lines(texts)

    def put(name, content, taking=None):
        (folder / name).write_bytes(content)
        found[name] = (str(folder / name), taking or Taking())

    put("c.jsonl", lines)
    for ending, pack in PACK.items():
        put(f"c.jsonl{ending}", pack(lines))
    records = {name: json.dumps({"text": content.decode()}).encode() for name, content in members_of(texts).items()}
    put("records.tar", as_tar({f"{name}.json": content for name, content in records.items()}))
    put("texts.tar.gz", gzip.compress(as_tar(members_of(texts))))
    put("files.tar", as_tar(members_of(texts)), ALL_FILES)
    write_files(folder / "files", members_of(texts))
    found["files"] = (str(folder / "files"), ALL_FILES)
    write_tables(folder, texts, found)
    return found


def write_tables(folder, texts, found):
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        return
    table = pa.table({"id": list(range(len(texts))), "text": texts})
    parquet.write_table(table, folder / "c.parquet", row_group_size=300)
    with pa.OSFile(str(folder / "c.arrow"), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=130)
    saved = folder / "saved"
    saved.mkdir()
    halves = [table.slice(0, len(texts) // 2), table.slice(len(texts) // 2)]
    names = ["data-00000-of-00002.arrow", "data-00001-of-00002.arrow"]
    for name, half in zip(names, halves, strict=True):
        with pa.OSFile(str(saved / name), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(half, max_chunksize=200)
    (saved / "state.json").write_text(json.dumps({"_data_files": [{"filename": name} for name in names]}))
    found |= {name: (str(folder / name), Taking()) for name in ("c.parquet", "c.arrow", "saved")}


def give_input(monkeypatch, content):
    """Put content on standard input, as in a new process."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    for name, value in {"head": None, "taken": False}.items():
        monkeypatch.setattr(StandardInput, name, value)
