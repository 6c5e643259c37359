"""Source bytes of each id: the table adds up to the corpus, with and without literals."""

import dataclasses
import hashlib
from pathlib import Path

import interpreter
import numpy as np
import pytest
import tiny_data
from opened import opened

from megatron_proxy import compressors, vocab
from megatron_proxy.adaptor.data import prepared
from megatron_proxy.adaptor.data.prepared import PreparedViews
from megatron_proxy.data.dataset import manifest
from megatron_proxy.data.dataset.layout import Layout
from megatron_proxy.data.dataset.manifest import SymbolBytes
from megatron_proxy.data.dataset.reader import ViewReader
from megatron_proxy.errors import DatasetError

TEXTS = [b"def f(x):\n    return x\n" * 20, b"\xff\x00 odd bytes \xfe", b"", b"def g(y):\n    return y + 1\n" * 9]


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("name", ["zstd", "gzip", "trie"])
def test_the_table_adds_up_to_the_raw_bytes(tmp_path, name, old):
    tiny_data.prepare(tmp_path / "tiny", TEXTS, name, old=old)
    opened = prepared.open_all([str(tmp_path / "tiny")], name)
    table = prepared.source_bytes(opened)
    view = ViewReader(Layout(tmp_path / "tiny").codes(name))
    codes = np.concatenate([view.get(document) for document in range(len(TEXTS))]).astype(np.int64)
    ids = codes + opened[0].compressed.vocabulary.code_offset
    assert table[ids].sum() == pytest.approx(sum(map(len, TEXTS)))
    assert table[: vocab.BYTE_OFFSET].sum() == 0
    assert set(table[vocab.BYTE_OFFSET : vocab.SYMBOL_OFFSET]) == {1.0}


def test_literal_bytes_are_counted_when_a_view_is_written(tmp_path):
    made = tiny_data.prepare(tmp_path / "tiny", TEXTS, "zstd")
    entry = made.compressed["zstd"]
    assert entry.literals
    assert 0 < entry.literal_bytes < entry.view.units
    assert manifest.read(tmp_path / "tiny") == made


@pytest.fixture
def folder(tmp_path):
    """Three prefixes with the same compressor files."""
    for name in ("a", "b", "c"):
        tiny_data.prepare(tmp_path / name, TEXTS, trained_on=TEXTS)
    return tmp_path


def test_a_rank_reads_every_manifest_once_and_needs_no_compressor(folder, monkeypatch):
    prefixes = [str(folder / name) for name in ("a", "b", "a", "c")]
    before = prepared.source_bytes(prepared.open_all(prefixes, "trie"))
    monkeypatch.setattr(compressors, "get", lambda name: pytest.fail("a compressor was looked for"))
    with opened(folder) as counts:
        found = prepared.open_all(prefixes, "trie", check_views=False)
        table = prepared.source_bytes(found)
    # The three compressors are one: any table will do.
    assert counts == {f"{name}_manifest.json": 1 for name in "abc"} | {"c_trie_symbol-bytes.int32": 1}
    assert np.array_equal(table, before)


def test_one_rank_looks_at_all_views(folder):
    (folder / "b_raw_document.bin").write_bytes(b"")
    prefixes = [str(folder / name) for name in ("a", "b", "c")]
    with pytest.raises(DatasetError, match=r"b_raw_document\.bin: the file has 0 bytes"):
        prepared.open_all(prefixes, "trie")
    found = prepared.open_all(prefixes, "trie", check_views=False)
    with pytest.raises(DatasetError, match=r"b_raw_document\.bin: the file has 0 bytes"):
        PreparedViews(found[1], with_spans=False)


def test_spans_are_opened_only_where_a_mode_needs_them(folder):
    (found,) = prepared.open_all([str(folder / "a")], "trie", check_views=False)
    with opened(folder) as counts:
        views = PreparedViews(found, with_spans=False)
    assert views.sizes.spans is None
    assert set(counts) == {f"a_{view}_document.{ending}" for view in ("raw", "trie") for ending in ("bin", "idx")}
    with opened(folder) as counts:
        views = PreparedViews(found, with_spans=True)
    assert len(views.sizes.spans) == len(TEXTS)
    assert {"a_trie_spans.bin", "a_trie_spans.idx"} < set(counts)


def test_a_table_of_another_size_is_refused(folder):
    (found,) = prepared.open_all([str(folder / "a")], "trie")
    stored = found.compressed.symbol_bytes.table
    (folder / stored.name).write_bytes(b"")
    with pytest.raises(DatasetError, match=r"int32: the content is not what the manifest says"):
        prepared.source_bytes([found])
    shorter = dataclasses.replace(stored, sha256=hashlib.sha256(b"").hexdigest())
    entry = dataclasses.replace(found.compressed, symbol_bytes=SymbolBytes(shorter))
    other = dataclasses.replace(found.dataset, manifest=found.manifest.with_compressed("trie", entry))
    with pytest.raises(DatasetError, match=r"int32: the table has 0 bytes, \d+ symbols need \d+"):
        other.symbol_bytes("trie")


OPEN = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 4096))
from megatron_proxy.adaptor.data import prepared
from megatron_proxy.common.storage import maps
from megatron_proxy.data.sampling import cache, planner
from megatron_proxy.data.sampling.plan import PlanSpec
from megatron_proxy.data.sampling.schedule import Schedule

maps.raise_limit()
held = []
for one in prepared.open_all([f"p{number}" for number in range(256)], "trie"):
    views = prepared.PreparedViews(one, with_spans=False)
    for seed in range(3):
        spec = PlanSpec(seed, 8, Schedule(), 8, 8, range(4), block=1)
        build = lambda: planner.plan_parts(spec, views.sizes)
        held += [views, cache.open_or_build("cache", spec.description() | views.identity, build)]
print(len(held))
"""


@pytest.mark.long
def test_a_blend_of_256_prefixes_is_opened_under_the_limits_of_a_system(tmp_path):
    small = compressors.get("trie").all_options({"symbols": 100})
    made = compressors.get("trie").build(small, lambda: iter(TEXTS))
    for number in range(256):
        tiny_data.prepare_with(tmp_path / f"p{number}", TEXTS, made)
    done = interpreter.run("-c", OPEN, cwd=tmp_path, PYTHONPATH=str(Path(__file__).parents[3]))
    assert (done.stdout, done.returncode) == ("1536\n", 0), done.stderr[-4000:]
