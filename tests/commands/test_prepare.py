"""``megatron-proxy prepare``: through Megatron's builder, with real compressors, and what bad input gets."""

import gzip
import json
import re
import signal

import pytest
import zstandard
from preparing import DOCUMENTS, TEXTS, decoded, files_of, leftovers, raw_documents, write_corpus
from token_files import byte_level, write_tokens

from megatron_proxy.data.dataset import manifest

pytest.importorskip("megatron.core.datasets.indexed_dataset")


@pytest.fixture(autouse=True)
def keep_signal_handler():
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def test_views_are_read_back_by_megatron_and_by_the_manifests_compressor(tmp_path, corpus, command, monkeypatch):
    from megatron.core.datasets.indexed_dataset import IndexedDataset

    prefix = tmp_path / "data" / "p"
    code, out, _ = command(
        "prepare", "--input", corpus, "--output-prefix", prefix, "--compressor", "zstd,gzip", "--compressor", "toy",
        "--toy-shift", 3, "--gzip-level", 1, "--workers", 2,
    )  # fmt: skip
    assert code == 0
    assert out.splitlines()[0] == f"{prefix}: 6 documents, 93 bytes in the raw view"
    assert out.splitlines()[-1] == f"train on it: --data-path {prefix} --proxy-compression zstd"
    monkeypatch.setenv("RANK", "0")
    raw = IndexedDataset(f"{prefix}_raw_document")
    assert [raw[index].tobytes() for index in range(len(raw))] == DOCUMENTS
    for name in ("zstd", "gzip", "toy"):
        assert decoded(prefix, name) == DOCUMENTS
        codes = IndexedDataset(f"{prefix}_{name}_document")
        assert codes.sequence_lengths.sum() == manifest.read(prefix).compressed[name].view.units
    assert manifest.read(prefix).compressed["toy"].config["shift"] == 3
    assert leftovers(tmp_path / "data") == []


def test_it_ends_with_the_rows_of_each_view_and_a_command_line_for_a_shell(tmp_path, corpus, command):
    code, out, _ = command(
        "prepare", "--input", corpus, "--output-prefix", tmp_path / "my data", "--compressor", "toy,halfbyte",
        "--workers", 0, "--hidden-size", 64,
    )  # fmt: skip
    assert code == 0
    *_, toy, small, halfbyte, small_too, use = (line.removeprefix(f"{tmp_path}/my data: ") for line in out.splitlines())
    model = "in a model of --hidden-size 64 and 1 layers the ids' rows are"
    assert toy == f"the toy view has 512 symbols, 832 ids; {model} 52% of 0.1 million parameters"
    assert halfbyte == f"the halfbyte view has 16 symbols, 336 ids; {model} 30% of 0.1 million parameters"
    assert small.startswith("the corpus is too small to learn 512 symbols from: it has 0.2 bytes for each, and 100 are")
    assert small_too.startswith("the corpus is too small to learn 16 symbols from: it has 5.8 bytes for each, and 100")
    assert use == f"train on it: --data-path '{tmp_path}/my data' --proxy-compression toy"


def test_the_ids_of_a_tokenized_corpus_are_taken(tmp_path, command):
    tokenizer = byte_level(tmp_path / "tokenizer.json", TEXTS[:1] * 5)
    ids = tokenizer.encode(TEXTS[0]).ids
    prefix = write_tokens(tmp_path / "ids", [[[*ids, 0]]])
    arguments = ["prepare", "--output-prefix", tmp_path / "p", "--workers", 0]
    given = ["--input-tokens", prefix, "--tokenizer", tmp_path / "tokenizer.json"]
    code, out, _ = command(*arguments, *given, "--compressor", "gzip,hf", "--hf-symbols", "ids")
    assert (code, out.splitlines()[-1]) == (0, f"train on it: --data-path {tmp_path / 'p'} --proxy-compression hf")
    assert (
        raw_documents(tmp_path / "p")
        == decoded(tmp_path / "p", "hf")
        == decoded(tmp_path / "p", "gzip")
        == DOCUMENTS[:1]
    )
    for flag, value in (("--tokenizer", "t"), ("--eod-id", 0)):
        code, _, err = command(*arguments, flag, value)
        assert (code, f"{flag}: goes with --input-tokens" in err) == (1, True)


def test_input_may_be_several_files_of_every_kind(tmp_path, command):
    lines = [json.dumps({"text": str(number)}).encode() + b"\n" for number in range(6)]
    (tmp_path / "a1.jsonl").write_bytes(b"".join(lines[:2]))
    (tmp_path / "a2.jsonl.gz").write_bytes(gzip.compress(b"".join(lines[2:4])))
    (tmp_path / "b.jsonl.zst").write_bytes(zstandard.compress(b"".join(lines[4:])))
    for arguments in (
        ["--input", tmp_path / "a*", tmp_path / "b.jsonl.zst"],
        ["--input", tmp_path / "a*", "--input", tmp_path / "b.jsonl.zst"],
    ):
        assert command("prepare", *arguments, "--output-prefix", tmp_path / "p", "--workers", 1)[0] == 0
    assert raw_documents(tmp_path / "p") == [str(number).encode() for number in range(6)]
    assert manifest.read(tmp_path / "p").source["inputs"] == ["a1.jsonl", "a2.jsonl.gz", "b.jsonl.zst"]


@pytest.mark.long
def test_the_views_are_the_same_in_later_calls(tmp_path, corpus, command):
    both = ["--compressor", "gzip,toy", "--input", corpus, "--workers", 0]
    command("prepare", *both, "--output-prefix", tmp_path / "p")
    command("prepare", "--input", corpus, "--output-prefix", tmp_path / "q", "--workers", 1)
    command("prepare", "--output-prefix", tmp_path / "q", "--compressor", "toy", "--partitions", 3, "--workers", 2)
    code, out, _ = command("prepare", *both, "--output-prefix", tmp_path / "q")
    assert code == 0
    assert f"{tmp_path}/q: the toy view is there already" in out
    q = files_of(tmp_path, "q")
    assert q == files_of(tmp_path)


GOOD = json.dumps({"text": "good"}).encode() + b"\n"
BROKEN = {
    "not_json.jsonl": (GOOD + b"{oops\n", r"not_json\.jsonl:2: the line is not JSON \(Expecting property name"),
    "no_key.jsonl": (GOOD * 2 + b'{"content": "x"}\n', r"no_key\.jsonl:3: the line lacks the key 'text'"),
    "empty.jsonl": (b"", "--input: the corpus holds no documents"),
    "cut.jsonl.gz": (gzip.compress(GOOD * 99)[:-9], r"cut\.jsonl\.gz:\d+: the gzip stream is truncated or damaged"),
    "cut.jsonl.zst": (zstandard.compress(GOOD * 99)[:-3], r"cut\.jsonl\.zst:1: the zstd stream is truncated or dam"),
}


@pytest.mark.parametrize("name", list(BROKEN))
@pytest.mark.parametrize("workers", [0, 2])
def test_bad_input_is_named_and_leaves_nothing(tmp_path, command, name, workers):
    content, message = BROKEN[name]
    (tmp_path / name).write_bytes(content)
    code, out, err = command(
        "prepare", "--input", tmp_path / name, "--output-prefix", tmp_path / "p", "--workers", workers
    )  # fmt: skip
    assert (code, out) == (1, "")
    assert err.startswith("megatron-proxy: error: ")
    assert re.search(message, err)
    assert "Traceback" not in err
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_bad_lines_can_be_passed_over(tmp_path, command):
    path = tmp_path / "c.jsonl"
    path.write_bytes(b'{"text": "a"}\n{oops\n{"text": "b"}\n')
    code, out, err = command(
        "prepare", "--input", path, "--output-prefix", tmp_path / "p", "--workers", 1, "--skip-bad-lines"
    )  # fmt: skip
    assert code == 0
    assert f"1 bad lines were passed over: {tmp_path}/p_skipped_lines.txt lists them" in out
    assert f"passed over {path}:2: the line is not JSON" in err
    assert raw_documents(tmp_path / "p") == [b"a", b"b"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--compressor", "zstdd"], "no compressor is called 'zstdd'; did you mean 'zstd'? known: "),
        (["--compressor", "gzip", "--toy-shift", "1"], "--toy-shift: --compressor does not name toy"),
        (["--compressor", "gzip,gzip"], "--compressor: something is named twice: gzip, gzip"),
        (["--shard", "1-2"], "--shard: '1-2' is not of the form i/n, such as 0/8"),
        (["--shard", "2/2"], "--shard: there is no shard 2 of 2"),
        (["--compressor", "toy", "--compressor-from", "none"], "'none' is not a prepared dataset"),
        (["--partitions", "0"], "--partitions: must be at least 1, not 0"),
    ],
)
def test_bad_flags_are_named(tmp_path, corpus, command, arguments, message):
    code, _, err = command("prepare", "--input", corpus, "--output-prefix", tmp_path / "p", "--workers", 0, *arguments)
    assert code == 1
    assert message in err
    assert "Traceback" not in err


def test_without_input_the_prefix_must_be_there(tmp_path, command):
    code, _, err = command("prepare", "--output-prefix", tmp_path / "p", "--compressor", "toy")
    assert code == 1
    assert f"--input: '{tmp_path}/p' is not prepared yet: the corpus is needed" in err


def test_a_shard_takes_what_was_learnt_once(tmp_path, corpus, command):
    command("train-compressor", "toy", "--toy-learn", "true", "--input", corpus, "--output", tmp_path / "toy.model")
    shared = ["prepare", "--input", corpus, "--output-prefix", tmp_path / "p", "--workers", 0, "--shard", "0/2"]
    code, out, _ = command(*shared, "--compressor", "toy", "--compressor-from", tmp_path / "toy.model.json")
    assert code == 0
    assert "train on it" not in out
    assert manifest.read(tmp_path / "p_shard-00000-of-00002").compressed["toy"].config["shift"] == 7


@pytest.mark.long
def test_a_document_of_100_megabytes_goes_through(tmp_path, command):
    text = "0123456789abcdef\n" * 6_250_000 + "é"
    corpus = write_corpus(tmp_path / "c.jsonl", ["small", text, "small"])
    assert command("prepare", "--input", corpus, "--output-prefix", tmp_path / "p", "--workers", 2)[0] == 0
    assert raw_documents(tmp_path / "p") == [b"small", text.encode(), b"small"]


def test_terminating_the_command_clears_away(tmp_path, corpus, command, monkeypatch):
    def terminated(*args):
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr("megatron_proxy.data.prepare.compressed_view.encode", terminated)
    with pytest.raises(SystemExit) as stopped:
        command("prepare", "--input", corpus, "--output-prefix", tmp_path / "p", "--compressor", "toy", "--workers", 0)
    assert stopped.value.code == 128 + signal.SIGTERM
    assert leftovers(tmp_path) == []
    assert list(manifest.read(tmp_path / "p").compressed) == []


def test_log_lines_tell_the_speed(tmp_path, command):
    corpus = write_corpus(tmp_path / "c.jsonl", TEXTS * 50)
    _, _, err = command(
        "prepare", "--input", corpus, "--output-prefix", tmp_path / "p", "--workers", 0, "--log-interval", 300
    )  # fmt: skip
    assert "writing the raw view: 300 documents" in err
    assert "MB/s)" in err
