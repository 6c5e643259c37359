"""``megatron-proxy merge``: from shards on the command line to what one run writes."""

from preparing import files_of, write_corpus


def test_shards_become_what_one_run_writes(tmp_path, command):
    corpus = write_corpus(tmp_path / "c.jsonl", [f"document {number}" for number in range(30)])
    shared = ["prepare", "--input", corpus, "--compressor", "gzip", "--workers", 0, "--output-prefix"]
    command(*shared, tmp_path / "whole")
    for index in range(3):
        command(*shared, tmp_path / "p", "--shard", f"{index}/3")
    code, out, err = command("merge", tmp_path / "p", "--remove-shards")
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == f"{tmp_path}/p: 30 documents of 3 shards in the raw view"
    expected = files_of(tmp_path, "whole")
    assert files_of(tmp_path) == expected
    assert command("merge", tmp_path / "p")[0] == 1
