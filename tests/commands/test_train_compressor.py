"""``megatron-proxy train-compressor``: what it writes is what prepare would have learnt by itself."""

from preparing import files_of, write_corpus

from megatron_proxy.data.dataset import manifest
from megatron_proxy.data.prepare.recipe import load


def test_what_it_learns_is_what_prepare_learns(tmp_path, command):
    corpus = write_corpus(
        tmp_path / "c.jsonl", [f"def f{number}(x):\n    return x + {number}\n" for number in range(99)]
    )
    code, out, _ = command(
        "train-compressor", "zstd", "--input", corpus, "--output", tmp_path / "new" / "z", "--zstd-level", 3
    )  # fmt: skip
    assert code == 0
    assert out.splitlines()[-1] == f"use it: prepare --compressor zstd --compressor-from {tmp_path}/new/z.json"
    command(
        "prepare", "--input", corpus, "--output-prefix", tmp_path / "p", "--compressor", "zstd", "--zstd-level", 3,
        "--workers", 0,
    )  # fmt: skip
    command(
        "prepare", "--input", corpus, "--output-prefix", tmp_path / "q", "--compressor", "zstd", "--workers", 0,
        "--compressor-from", tmp_path / "new" / "z.json",
    )  # fmt: skip
    assert load(tmp_path / "new" / "z.json").fingerprint == manifest.read(tmp_path / "p").compressed["zstd"].fingerprint
    q = files_of(tmp_path, "q")
    assert q == files_of(tmp_path)


def test_bad_input_is_named(tmp_path, command):
    empty = write_corpus(tmp_path / "empty.jsonl", [])
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"text": "a"}\n{\n')
    output = ["--output", tmp_path / "out"]
    for argv, message in [
        (["nothing", "--input", bad, *output], "no compressor is called 'nothing'"),
        (["toy", "--input", empty, *output], "--input: the corpus holds no documents"),
        (["toy", "--input", bad, "--toy-learn", "yes", *output], "bad.jsonl:2: the line is not JSON"),
        (["toy", "--input", bad, "--gzip-level", "1", *output], "--gzip-level: --compressor does not name gzip"),
        (["toy", "--input", tmp_path / "none.jsonl", *output], "none.jsonl: cannot be read"),
        (["toy", "--input", bad, "--output", "/dev/null/x"], "/dev/null/x: cannot be written"),
    ]:
        code, _, err = command("train-compressor", *argv)
        assert code == 1
        assert message in err
        assert "Traceback" not in err
    assert not (tmp_path / "out").exists()
    assert command("train-compressor", "toy", "--input", bad, "--toy-learn", "1", "--skip-bad-lines", *output)[0] == 0
    assert (tmp_path / "out").read_bytes() == bytes([2])
