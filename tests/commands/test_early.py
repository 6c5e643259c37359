"""What can be known before the corpus is read is told then: the corpus of these tests cannot be read."""

import json

import pytest


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.jsonl").write_text("never read\n")
    (tmp_path / "no.json").write_text("{}")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    (tmp_path / "file").write_text("")
    return tmp_path


PREPARE = ["prepare", "--input", "c.jsonl", "--output-prefix", "p", "--workers", "0", "--compressor"]
TRAIN = ["train-compressor", "--input", "c.jsonl", "--output", "m"]
WRONG = [
    ("hf", "--hf-model: this compressor needs a tokenizer.json"),
    ("hf --hf-model none", "--hf-model: none cannot be read (No such file or directory)"),
    ("hf --hf-model .", "--hf-model: . cannot be read (Is a directory)"),
    ("hf --hf-model config.json", "--hf-model config.json: the tokenizers package cannot load this tokenizer.json"),
    ("tiktoken --tiktoken-ranks none", "--tiktoken-ranks: none cannot be read"),
    ("tiktoken --tiktoken-ranks no.json", "--tiktoken-ranks no.json ranks file:1: not 'base64 rank'"),
    ("sentencepiece --sentencepiece-model no.json", "--sentencepiece-model no.json: "),
    ("sentencepiece --sentencepiece-vocab-size 5", "--sentencepiece-vocab-size: 5 is not a whole number from 300"),
    ("sentencepiece --sentencepiece-sample-bytes 0", "--sentencepiece-sample-bytes: 0 is not"),
    ("gzip --gzip-level 11", "--gzip-level: 11 is not a whole number from 1 to 9"),
    ("zstd --zstd-level 23", "--zstd-level: 23 is not"),
    ("zstd --zstd-segment-bytes 3", "--zstd-segment-bytes: 3 is not"),
    ("trie --trie-symbols 0", "--trie-symbols: 0 is not"),
    ("trie --trie-rounds 11", "--trie-rounds: 11 is not"),
    ("trie --trie-sample-bytes 0", "--trie-sample-bytes: 0 is not"),
    ("neural --neural-counts 2", "--neural-counts: 2.0 is not a number from 0 to 1"),
    ("neural --neural-temperature 0", "--neural-temperature: 0.0 is not"),
    ("neural --neural-steps 0", "--neural-steps: 0 is not"),
    ("neural --neural-rounds 0 --neural-counts 1", "--neural-rounds: 0 is not"),
    ("neural --neural-device nowhere", "--neural-device: torch cannot use the device 'nowhere'"),
    ("neural-ac --neural-ac-device nowhere", "--neural-ac-device: torch cannot use the device 'nowhere'"),
    ("neural --neural-checkpoint file/x", "--neural-checkpoint: 'file/x' cannot be written"),
    ("imported", "an imported view cannot be made from text"),
    ("toy --toy-shift 201", "--toy-shift: shift 201 is too much"),
]


@pytest.mark.parametrize(("flags", "message"), WRONG, ids=[flags for flags, _ in WRONG])
@pytest.mark.parametrize("argv", [PREPARE, TRAIN], ids=["prepare", "train-compressor"])
def test_options_and_what_they_need(here, command, argv, flags, message):
    if "neural" in flags:
        pytest.importorskip("torch")
    before = sorted(path.name for path in here.iterdir())
    code, _, err = command(*argv, *flags.split())
    assert (code, err.splitlines()[0][: len(message) + 23]) == (1, f"megatron-proxy: error: {message}")
    assert sorted(path.name for path in here.iterdir()) == before


@pytest.mark.parametrize("name", ["zstd", "trie", "sentencepiece", "neural", "toy --toy-learn true"])
def test_a_shard_with_something_to_learn(here, command, name):
    code, _, err = command(*PREPARE, *name.split(), "--shard", "0/2")
    assert code == 1
    (kind, *_) = name.split()
    assert f"--shard: the {kind} compressor learns from the corpus, of which a shard sees only a part" in err
    assert f"megatron-proxy train-compressor {kind}" in err


def test_a_view_of_another_kind_is_there(here, corpus, command):
    flags = ["--output-prefix", "p", "--workers", "0", "--compressor", "toy"]
    assert command("prepare", "--input", corpus, *flags)[0] == 0
    code, _, err = command(*PREPARE, "toy", "--toy-shift", "3")
    assert (code, "p: has a toy view already, made with other options" in err) == (1, True)


def test_somebody_elses_files_are_there(here, command):
    (here / "p_toy_document.bin").write_text("mine")
    code, _, err = command(*PREPARE, "toy")
    assert (code, "p_toy_document.bin: the file is there, but no manifest names it" in err) == (1, True)


@pytest.mark.long
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--hidden-size 0", "--hidden-size: must be at least 1, not 0"),
        ("--engine ray --ray-shards 0", "--ray-shards: must be at least 1, not 0"),
    ],
)
def test_numbers_out_of_range(here, command, flags, message):
    if "ray" in flags:
        pytest.importorskip("ray")
    code, _, err = command(*PREPARE, "toy", *flags.split())
    assert (code, message in err) == (1, True)


def test_the_output_of_train_compressor(here, command):
    (here / "folder").mkdir()
    code, _, err = command("train-compressor", "toy", "--input", "c.jsonl", "--output", "folder")
    assert (code, err.startswith("megatron-proxy: error: --output: 'folder' is a folder")) == (1, True)
