"""The names of a dataset's files: what is on disk already must be found again."""

from pathlib import Path

from megatron_proxy.data.dataset.layout import Layout, pending


def test_every_file_has_its_name():
    here = Layout("data/p")
    assert (here.prefix, here.folder, here.raw) == ("data/p", Path("data"), "data/p_raw_document")
    assert (here.codes("zstd"), here.spans("zstd")) == ("data/p_zstd_document", "data/p_zstd_spans")
    paths = [here.manifest, here.skipped_lines, here.lock, here.plans, here.compressor_file("zstd", "dictionary.bin")]
    assert [str(path.relative_to("data")) for path in [*paths, here.symbol_bytes("zstd"), pending(here.raw)]] == [
        "p_manifest.json",
        "p_skipped_lines.txt",
        ".p.lock",
        "p/cache/ProxyGPTDataset",
        "p_zstd_dictionary.bin",
        "p_zstd_symbol-bytes.int32",
        ".p_raw_document.partial",
    ]
    assert here.part("zstd", 1, 4).prefix == "data/.p.zstd.part-0001-of-0004"
    assert here.shard(3, 8).prefix == "data/p_shard-00003-of-00008"


def test_what_is_there_is_told_from_what_is_anothers(tmp_path):
    here = Layout(tmp_path / "p[1]")
    for name in ["p_shard-00000-of-00002_manifest.json", "p[1]_shard-00001-of-00002_manifest.json"]:
        (tmp_path / name).touch()
    parts = [tmp_path / f"{hidden}p[1].toy.part-0000-of-0002_x" for hidden in (".", "..")]
    for path in [*parts, tmp_path / ".p1.toy.part-0000-of-0002_x", tmp_path / ".p[1].other.part-0000-of-0002_x"]:
        path.touch()
    assert here.shards() == [(1, 2)]
    assert here.files_of_parts("toy") == parts
    assert here.own(["p[1]_raw_document.bin", "p_raw_document.bin", "q"]) == [tmp_path / "p[1]_raw_document.bin"]
