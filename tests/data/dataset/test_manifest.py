"""The manifest: what it says survives writing, and nothing else is taken for one."""

import dataclasses
import hashlib
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from megatron_proxy import compressors
from megatron_proxy.data.dataset import manifest
from megatron_proxy.data.dataset.layout import Layout
from megatron_proxy.data.dataset.manifest import CompressedView, Manifest, StoredFile, SymbolBytes, View
from megatron_proxy.data.dataset.opened import PreparedDataset
from megatron_proxy.errors import CompressorError, DatasetError
from megatron_proxy.vocab import Vocabulary


def view(name, dtype="uint8", units=3):
    return View(StoredFile(f"{name}.bin", 3, "aa"), StoredFile(f"{name}.idx", 50, "bb"), dtype, units, units)


def toy(shift=4):
    table = bytes([shift])
    return CompressedView(
        config={"shift": shift, "fault": ""},
        fingerprint="",
        num_symbols=512,
        literals=False,
        lossless=True,
        view=view("p_toy_document", "uint16"),
        spans=view("p_toy_spans", "uint16"),
        files={"table.bin": StoredFile("p_toy_table.bin", 1, hashlib.sha256(table).hexdigest())},
    )


FULL = Manifest(2, view("p_raw_document"), {"toy": toy()}, {"inputs": ["a.jsonl"], "skipped_lines": 0}, {"numpy": "2"})


@pytest.fixture(autouse=True)
def register(monkeypatch):
    known = compressors._registry() | {"toy": "toy_compressor:ToyCompressor"}
    monkeypatch.setattr(compressors, "_registry", lambda: known)


def test_survives_writing_and_reading(tmp_path):
    Layout(tmp_path / "p").manifest.write_text(FULL.to_json())
    assert manifest.read(tmp_path / "p") == FULL


def test_views_are_sorted_and_replaced_by_name():
    gzip = dataclasses.replace(toy(), spans=None, files={})
    both = FULL.with_compressed("gzip", gzip)
    assert list(both.compressed) == ["gzip", "toy"]
    assert both.with_compressed("toy", gzip).compressed["toy"] == gzip
    assert both.with_views({}).compressed == {}
    assert toy().vocabulary == Vocabulary(512)


def test_what_later_releases_keep_is_optional():
    assert Manifest.from_json(changed(["compressed", "toy", "symbol_bytes"], None), "where") == FULL
    table = StoredFile("p_toy_symbol-bytes.int32", 2048, "cc")
    for kept, names in ((SymbolBytes(None), []), (SymbolBytes(table), [table.name])):
        made = FULL.with_compressed("toy", dataclasses.replace(toy(), symbol_bytes=kept))
        assert Manifest.from_json(made.to_json(), "where") == made
        assert [stored.name for stored in made.stored_files()][7:] == names


def test_names_every_file():
    names = [stored.name for stored in FULL.stored_files()]
    assert names == [
        "p_raw_document.bin",
        "p_raw_document.idx",
        "p_toy_document.bin",
        "p_toy_document.idx",
        "p_toy_spans.bin",
        "p_toy_spans.idx",
        "p_toy_table.bin",
    ]


def test_an_unprepared_prefix_names_the_command(tmp_path):
    with pytest.raises(
        DatasetError, match=r"p_manifest.json cannot be read \(No such(.|\n)*megatron-proxy prepare --in"
    ):
        manifest.read(tmp_path / "p")


def test_a_missing_view_names_the_command():
    with pytest.raises(DatasetError, match=r"'p' has no gzip view; it has: toy(.|\n)*--compressor gzip"):
        PreparedDataset(Layout("p"), FULL).compressed("gzip")
    with pytest.raises(DatasetError, match="it has: none"):
        PreparedDataset(Layout("p"), FULL.with_views({})).compressed("gzip")
    with pytest.raises(DatasetError, match=r"did you mean 'toy'\? If not: megatron-proxy prepare "):
        PreparedDataset(Layout("p"), FULL).compressed("tyo")


def changed(path, value):
    """The manifest's JSON with one entry replaced (removed for None)."""
    content = json.loads(FULL.to_json())
    *parents, last = path
    place = content
    for name in parents:
        place = place[name]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return sealed(content)


def sealed(content):
    """The JSON with a checksum that fits."""
    content.pop("checksum", None)
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return json.dumps({**content, "checksum": digest})


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["format"], "other", "not a megatron_proxy manifest"),
        (["format"], None, "not a megatron_proxy manifest"),
        (["version"], 2, "manifest version 2 cannot be read by this release, which reads version 1"),
        (["version"], None, "manifest version None cannot be read"),
        (["documents"], -1, "expected a count, found -1"),
        (["documents"], True, "expected a count, found True"),
        (["documents"], "2", "expected a count"),
        (["raw"], None, "damaged .KeyError: 'raw'"),
        (["raw", "bin", "size"], 1.5, "expected a count, found 1.5"),
        (["raw", "bin", "name"], "../p_raw.bin", "'../p_raw.bin' leaves the manifest's folder"),
        (["raw", "bin", "name"], "/etc/passwd", "leaves the manifest's folder"),
        (["raw", "idx", "name"], "..", "leaves the manifest's folder"),
        (["compressed", "toy", "files", "table.bin", "name"], "a/b", "leaves the manifest's folder"),
        (["compressed", "toy", "spans", "idx", "name"], "", "leaves the manifest's folder"),
        (["raw", "bin", "name"], "a\0b", "no file can have the name"),
        (["raw", "bin", "name"], "a\ud800", "no file can have the name"),
        (["compressed", "../toy"], {}, "'../toy' leaves the manifest's folder"),
        (["compressed", "toy", "files", "../table.bin"], {}, "'../table.bin' leaves the manifest's folder"),
        (["compressed"], [], "damaged .AttributeError"),
        (["compressed", "toy", "symbol_bytes"], {}, "damaged .KeyError"),
        (["compressed", "toy", "symbol_bytes"], {"table": {"name": "../x"}}, "leaves the manifest's folder"),
        (["compressed", "toy", "config"], 3, "damaged .TypeError"),
    ],
)
def test_what_does_not_belong_is_an_error_that_names_the_file(path, value, message):
    with pytest.raises(DatasetError, match=f"where: .*{message}"):
        Manifest.from_json(changed(path, value), "where")


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "3", "\ud800", b"\xff\xfe", "[" * 100_000])
def test_what_is_no_manifest_is_an_error(content):
    with pytest.raises(DatasetError, match=r"^where: "):
        Manifest.from_json(content, "where")


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def places(content, path=()):
    """The path of every entry in a JSON value."""
    for name in content if isinstance(content, dict) else ():
        yield (*path, name)
        yield from places(content[name], (*path, name))


@given(st.sampled_from([path for path in places(json.loads(FULL.to_json())) if path != ("checksum",)]), values)
def test_any_entry_replaced_by_anything_is_read_or_refused(path, value):
    try:
        found = Manifest.from_json(changed(path, value), "where")
    except DatasetError:
        return
    assert all(os.path.basename(stored.name) == stored.name for stored in found.stored_files())
    assert Manifest.from_json(found.to_json(), "where") == found


def test_any_bit_flipped_is_found_or_means_nothing():
    good = FULL.to_json().encode()
    for bit in range(8 * len(good)):
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        try:
            found = Manifest.from_json(bytes(bad), "where")
        except DatasetError:
            continue
        assert found == FULL


def stored_toy(folder, shift=4, fingerprint=None):
    (folder / "p_toy_table.bin").write_bytes(bytes([shift]))
    entry = toy(shift)
    made = compressors.load("toy", entry.config, {"table.bin": bytes([shift])})
    entry = dataclasses.replace(entry, fingerprint=fingerprint or made.fingerprint)
    Layout(folder / "p").manifest.write_text(FULL.with_compressed("toy", entry).to_json())


def test_loads_the_compressor_that_made_a_view(tmp_path):
    stored_toy(tmp_path)
    assert PreparedDataset.open(tmp_path / "p").compressor("toy").shift == 4


def test_a_compressor_whose_files_or_fingerprint_differ_is_refused(tmp_path):
    stored_toy(tmp_path, fingerprint="0" * 64)
    with pytest.raises(DatasetError, match=r"p_manifest\.json: the toy compressor .* has another fingerprint"):
        PreparedDataset.open(tmp_path / "p").compressor("toy")
    stored_toy(tmp_path)
    (tmp_path / "p_toy_table.bin").write_bytes(b"\x05")
    with pytest.raises(DatasetError, match=r"p_toy_table\.bin: the content is not what the manifest says"):
        PreparedDataset.open(tmp_path / "p").compressor("toy")
    (tmp_path / "p_toy_table.bin").unlink()
    with pytest.raises(DatasetError, match=r"p_toy_table\.bin: cannot be read"):
        PreparedDataset.open(tmp_path / "p").compressor("toy")


def test_a_compressor_that_is_not_installed_is_named(tmp_path, monkeypatch):
    stored_toy(tmp_path)
    monkeypatch.setattr(compressors, "_registry", lambda: {"zstd": "x:y"})
    with pytest.raises(CompressorError, match="no compressor is called 'toy'; known: zstd"):
        PreparedDataset.open(tmp_path / "p").compressor("toy")
