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


def test_it_tells_how_many_symbols_there_are_and_whether_the_corpus_is_enough(tmp_path, command):
    small = write_corpus(tmp_path / "small.jsonl", ["some text"] * 3)
    large = write_corpus(tmp_path / "large.jsonl", ["some text\n" * 600] * 9)
    for corpus, notes in (
        (small, ["the corpus is too small to learn 512 symbols from: it has 0.1 bytes for each"]),
        (large, []),
    ):
        _, out, err = command(
            "train-compressor", "toy", "--toy-learn", "true", "--input", corpus, "--output", tmp_path / "a b"
        )  # fmt: skip
        _, symbols, *told, use = out.splitlines()
        assert symbols == "toy: 512 symbols"
        assert [line[: len(note)] for line, note in zip(told, notes, strict=True)] == notes
        assert use == f"use it: prepare --compressor toy --compressor-from '{tmp_path}/a b.json'"
        assert err == ""


def test_one_that_gives_two_encodings_is_not_written(tmp_path, command):
    corpus = write_corpus(tmp_path / "c.jsonl")
    code, _, err = command(
        "train-compressor", "toy", "--input", corpus, "--output", tmp_path / "m", "--toy-fault", "counts"
    )
    assert (code, "compressor 'toy' gives the same bytes two encodings" in err) == (1, True)
    assert not (tmp_path / "m").exists()


def test_the_flag_for_the_key_has_one_name_and_its_old_one(tmp_path, command):
    corpus = write_corpus(tmp_path / "c.jsonl", ["x"] * 3, key="content")
    for flag in ("--json-keys", "--json-key"):
        output = tmp_path / flag
        assert command("train-compressor", "toy", "--input", corpus, "--output", output, flag, "content")[0] == 0


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
        (["toy", "--input", bad, "--output", "/dev/null/x"], "--output: '/dev/null/x' cannot be written"),
    ]:
        code, _, err = command("train-compressor", *argv)
        assert code == 1
        assert message in err
        assert "Traceback" not in err
    assert not (tmp_path / "out").exists()
    assert command("train-compressor", "toy", "--input", bad, "--toy-learn", "1", "--skip-bad-lines", *output)[0] == 0
    assert (tmp_path / "out").read_bytes() == bytes([2])
