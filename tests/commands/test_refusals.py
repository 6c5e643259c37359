"""What commands that use a model refuse before, or in place of, any work with it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from preparing import write_corpus

from megatron_proxy import cli

pytest.importorskip("torch")

import random_model

from megatron_proxy.commands import _model

TASK = {"task_id": "T/0", "prompt": "def f():\n", "entry_point": "f", "test": "def check(f): f()"}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a corpus, a file that must not be replaced, and an empty prompt."""
    monkeypatch.chdir(tmp_path)
    write_corpus("corpus.jsonl", ["abc\n" * 9, "def\n" * 9])
    Path("there").write_text("kept")
    Path("empty").write_bytes(b"")
    Path("tasks.jsonl").write_text(json.dumps(TASK) + "\n")
    return tmp_path


EVALUATE = "evaluate --load c --input corpus.jsonl"
CODE = "evaluate-code --load c --tasks tasks.jsonl --samples s.jsonl"
PREPARE = "prepare --input corpus.jsonl --output-prefix p --workers 0"
ROBUSTNESS = "robustness --load c --input corpus.jsonl"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (f"{EVALUATE} --output there", "--output: 'there' exists already"),
        (f"{EVALUATE} --output there/x", "--output: 'there/x' cannot be written"),
        (f"{CODE} --samples there/x", "--samples: 'there/x' cannot be written"),
        (f"{ROBUSTNESS} --plot there/x.svg", "--plot: 'there/x.svg' cannot be written"),
        (f"{EVALUATE} --max-documents 0", "--max-documents: must be at least 1, not 0"),
        (f"{EVALUATE} --translate", "--translate: the compressed view needs the compressor of the prepared dataset"),
        (f"{CODE} --workers 0", "--workers: must be at least 1, not 0"),
        (f"{CODE} --seconds 0", "--seconds: must be more than 0, not 0.0"),
        (f"{CODE} --pass-k 2", "--pass-k: pass@2 cannot be told from 1 completions"),
        (f"{CODE} --output there", "--output: 'there' exists already"),
        (f"{CODE} --tasks tasks.jsonl tasks.jsonl", "--tasks: the problem 'nominal/0/T/0' is there twice"),
        ("export --load c --output there", "--output: 'there' exists already"),
        ("export --load c --output new --format gguf --evaluation f",
         "--evaluation: figures go into a model card, which the format gguf has not"),
        ("export --load c --output new --format gguf --view compressed --original o --data-prefix p",
         "--view: the format gguf holds the model over raw bytes alone"),
        ("export --load c --output new --max-shard-size x", "--max-shard-size: 'x' is not a size"),
        ("generate --load c", "--prompt: no prompt is given"),
        ("generate --load c --prompt a --num-samples 0", "--num-samples: must be at least 1, not 0"),
        ("generate --load c --prompt a --draft-bytes 0", "--draft-bytes: must be at least 1, not 0"),
        (f"{CODE} --draft-bytes 0", "--draft-bytes: must be at least 1, not 0"),
        (f"{CODE} --draft strings", "--draft strings: it needs the strings of a prepared dataset"),
        ("generate --load c --prompt a --draft strings --data-prefix n", "n_manifest.json: "),
        ("generate --load c --prompt-file empty", "--prompt-file empty: a prompt of no bytes"),
        ("generate --load c --prompt-file n", "--prompt-file: n cannot be read (No such file or directory)"),
        (f"{ROBUSTNESS} --plot there", "--plot: 'there' exists already"),
        (f"{ROBUSTNESS} --perturbations case whitespac",
         "--perturbations: no perturbation is called 'whitespac'; did you mean 'whitespace'? known: whitespace, case,"),
        (f"{ROBUSTNESS} --rate 1.5", "--rate: must lie in (0, 1], not 1.5"),
        (f"{EVALUATE} --device nowhere", "--device: 'nowhere' cannot be used: "),
        (f"{EVALUATE} --device cpu", "c: there is no such checkpoint folder"),
    ],
)  # fmt: skip
def test_is_refused(here, capsys, command, message):
    assert cli.main(command.split()) == 1
    assert capsys.readouterr().err.startswith(f"megatron-proxy: error: {message}")
    assert Path("there").read_text() == "kept"
    assert not Path("new").exists()


@pytest.fixture
def loads(monkeypatch):
    """Commands find this model, whatever --load says."""

    def loads(*, sentinels=True, **changes):
        model = random_model.model(replace(random_model.LLAMA, **changes))
        mode = "sentinel" if sentinels else "vanilla"
        checkpoint = random_model.checkpoint(model.architecture, proxy_compression="toy", proxy_mode=mode)
        monkeypatch.setattr(_model, "load", lambda *args: (checkpoint, model))
        return checkpoint

    return loads


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (f"{EVALUATE} --context 1", "--context: a window of 1 ids holds nothing to predict from"),
        (f"{EVALUATE} --context 64", "--context: the model has learned positions for 32 ids, not for 64"),
        (f"{EVALUATE} --stride 33", "--stride: must be between 1 and the context, 32, not 33"),
        (f"{ROBUSTNESS} --stride 0", "--stride: must be between 1 and the context, 32, not 0"),
        (
            "generate --load c --prompt a --draft mtp",
            "--draft mtp: the model was trained without a layer that looks ahead",
        ),
    ],
)
def test_does_not_fit_the_model(here, loads, capsys, command, message):
    loads(learned_positions=True, rope=None)
    assert cli.main(command.split()) == 1
    assert capsys.readouterr().err.startswith(f"megatron-proxy: error: {message}")


def test_a_model_without_sentinels(here, loads, capsys):
    loads(sentinels=False)
    assert cli.main([*EVALUATE.split(), "--translate", "--data-prefix", "p"]) == 1
    message = "--translate: a model trained without sentinels cannot be told what to translate\n"
    assert capsys.readouterr().err == f"megatron-proxy: error: {message}"


def test_the_dataset_of_another_model(here, loads, toys, capsys):
    assert cli.main([*PREPARE.split(), "--compressor", "toy"]) == 0
    loads(vocabulary=330).args.padded_vocab_size = 320
    assert cli.main([*EVALUATE.split(), "--view", "compressed", "--data-prefix", "p"]) == 1
    error = capsys.readouterr().err.partition("error: ")[2]
    assert error.startswith("--data-prefix: the toy view of this dataset has ")
    assert error.endswith(" ids, the model 320\n  what to do: name the dataset that the model was trained on\n")


def test_nothing_to_inspect(here, capsys):
    assert cli.main(PREPARE.split()) == 0
    capsys.readouterr()
    assert cli.main(["inspect", "p"]) == 1
    assert capsys.readouterr().err == (
        "megatron-proxy: error: p_manifest.json: no compressed view is prepared\n"
        "  what to do: megatron-proxy prepare --input CORPUS.jsonl --output-prefix p --compressor zstd\n"
    )


@pytest.mark.long
def test_drafts_change_no_line_of_the_answer(here, loads, capfd):
    loads(looks_ahead=True)
    small = ["--compressor", "trie", "--trie-symbols", "40"]
    assert cli.main([*PREPARE.split(), *small]) == 0
    capfd.readouterr()
    command = ["generate", "--load", "c", "--prompt", "x = x = x = ", "--max-bytes", "12", "--num-samples", "3"]
    for more in ([], ["--temperature", "0.8", "--seed", "3"], ["--num-samples", "1"]):
        assert cli.main([*command, *more]) == 0
        expected = capfd.readouterr().out
        for draft in (["lookup", "--draft-bytes", "5"], ["strings", "--data-prefix", "p"], ["mtp"]):
            assert cli.main([*command, *more, "--draft", *draft]) == 0
            assert capfd.readouterr().out == expected


def test_the_layer_that_looks_ahead_is_read_for_its_drafts_alone(here, monkeypatch, capsys):
    """It may be of a kind that only Megatron knows."""
    shape = replace(random_model.LLAMA, looks_ahead=True)
    made = random_model.checkpoint(shape, random_model.tensors(random_model.LLAMA))
    monkeypatch.setattr("megatron_proxy.model.checkpoint.open_checkpoint", lambda folder, iteration: made)
    command = ["generate", "--load", "c", "--prompt", "a", "--max-bytes", "2", "--device", "cpu"]
    assert cli.main([*command, "--draft", "lookup"]) == 0
    assert cli.main([*command, "--draft", "mtp"]) == 1
    assert "the checkpoint has no tensor 'mtp.layers.0.enorm.weight'" in capsys.readouterr().err


def test_strings_to_draft_from_that_are_not_there(here, capsys):
    assert cli.main(PREPARE.split()) == 0
    capsys.readouterr()
    assert cli.main(["generate", "--load", "c", "--prompt", "a", "--draft", "strings", "--data-prefix", "p"]) == 1
    assert capsys.readouterr().err == (
        "megatron-proxy: error: --data-prefix: 'p' has no trie or neural view, whose strings are drafted from\n"
        "  what to do: megatron-proxy prepare --input CORPUS.jsonl --output-prefix p --compressor trie\n"
    )
