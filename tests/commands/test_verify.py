"""``megatron-proxy verify``: its exit code and what it prints; the checks are in tests/data/dataset/test_verify.py."""

import zlib

import pytest
from preparing import TEXTS, write_corpus

from megatron_proxy.data.prepare import Job, Recipe, prepare


@pytest.mark.long
def test_tells_what_was_checked_and_what_is_wrong(tmp_path, command):
    prefix = str(tmp_path / "p")
    corpus = write_corpus(tmp_path / "c.jsonl", TEXTS)
    prepare(Job(prefix, [corpus], [Recipe("toy")], workers=0, report=str))
    code, out, err = command("verify", prefix, "--deep", "--workers", 2)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith(f"{prefix}: 7 files, ")
    assert lines[1:] == [f"{prefix}: 6 documents of the toy view decoded, 1 of them encoded again", "all is well"]
    (tmp_path / "p_toy_table.bin").write_bytes(b"\xff")
    code, out, err = command("verify", prefix)
    assert code == 1
    assert f"wrong: {prefix}_toy_table.bin: the content is not what the manifest says (SHA-256)" in out.splitlines()
    assert err == ""
    assert out.splitlines()[-1] == "2 problems"


def test_a_view_that_cannot_be_encoded_here_is_well_all_the_same(tmp_path, command, monkeypatch):
    """As one of another zlib."""
    from megatron_proxy.compressors.controls import gzip

    prefix = tmp_path / "p"
    corpus = write_corpus(tmp_path / "c.jsonl", TEXTS)
    command("prepare", "--input", corpus, "--output-prefix", prefix, "--compressor", "gzip", "--workers", 0)
    monkeypatch.setattr(gzip.GzipCompressor, "_deflate", lambda self, text: b"other")
    code, out, err = command("verify", prefix, "--deep", "--workers", 0)
    assert (code, err) == (0, "")
    assert out.splitlines()[1:] == [
        f"{prefix}: 6 documents of the gzip view decoded",
        f"{prefix}: the gzip view is not encoded again: zlib {zlib.ZLIB_RUNTIME_VERSION} on this machine compresses to "
        "other bytes than the one this compressor was made with",
        "all is well",
    ]


def test_an_unprepared_prefix_is_an_error(tmp_path, command):
    code, _, err = command("verify", tmp_path / "p")
    assert code == 1
    assert "is not a prepared dataset" in err
    assert "megatron-proxy prepare --input" in err
