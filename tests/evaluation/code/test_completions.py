"""Completions are kept, and a run that was interrupted writes what it would have written."""

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

import random_model  # noqa: E402

from megatron_proxy import cli  # noqa: E402
from megatron_proxy.errors import ConfigurationError, CorpusError  # noqa: E402
from megatron_proxy.evaluation.code.completions import Completions, standard_limits, write  # noqa: E402
from megatron_proxy.evaluation.code.tasks import Task  # noqa: E402
from megatron_proxy.model.generation import Drafting, Limits, Lookup, Sampling  # noqa: E402

TASKS = [Task(f"t/{number}", f"def f{number}(x):\n", "f", "") for number in range(3)]
SETTINGS = {"checkpoint": "c", "temperature": 1.0}


@pytest.fixture(scope="module")
def model():
    return random_model.model(replace(random_model.LLAMA, context=24))


def complete(model, path, batch=4, tasks=TASKS, temperature=1.0, drafting=None):
    kept = Completions(path, SETTINGS)
    sampling = Sampling(temperature, seed=5)
    limits = Limits(max_bytes=10)
    write(model, tasks, kept, samples=3, limits=limits, sampling=sampling, batch=batch, drafting=drafting)
    return [kept.of(task, 3) for task in tasks]


def test_every_problem_gets_its_samples(model, tmp_path):
    found = complete(model, tmp_path / "samples.jsonl")
    assert [len(texts) for texts in found] == [3, 3, 3]
    assert len({text for texts in found for text in texts}) == 9
    assert len((tmp_path / "samples.jsonl").read_text().splitlines()) == 10


@pytest.mark.parametrize("batch", [1, 2, 9])
def test_batches_change_nothing(model, tmp_path, batch):
    assert complete(model, tmp_path / "a", batch) == complete(model, tmp_path / "b")


def test_drafts_change_nothing(model, tmp_path):
    tasks = [replace(task, prompt=task.prompt * 2) for task in TASKS]
    for temperature in (0.0, 1.0):
        drafting = Drafting(Lookup(), 4)
        written = complete(model, tmp_path / f"a{temperature}", tasks=tasks, temperature=temperature, drafting=drafting)
        assert written == complete(model, tmp_path / f"b{temperature}", tasks=tasks, temperature=temperature)
        assert drafting.proposed > 0


@pytest.mark.parametrize("keep", [1, 2, 5.5, 9.5])
def test_an_interrupted_run_writes_the_same(model, tmp_path, keep):
    whole = complete(model, tmp_path / "whole")
    lines = (tmp_path / "whole").read_bytes().splitlines(keepends=True)
    half = lines[int(keep)][:20] if keep % 1 else b""
    (tmp_path / "part").write_bytes(b"".join(lines[: int(keep)]) + half)
    assert complete(model, tmp_path / "part") == whole
    assert sorted((tmp_path / "part").read_bytes().splitlines()) == sorted(line.strip() for line in lines)


def test_completions_of_other_settings_are_not_taken(model, tmp_path):
    complete(model, tmp_path / "samples")
    with pytest.raises(ConfigurationError, match="were written with another temperature"):
        Completions(tmp_path / "samples", {**SETTINGS, "temperature": 0.0})
    (tmp_path / "other").write_text('{"a": 1}\n')
    with pytest.raises(ConfigurationError, match="holds something else"):
        Completions(tmp_path / "other", SETTINGS)
    (tmp_path / "bad").write_text("nonsense\n")
    (tmp_path / "list").write_text("[1]\n")
    with pytest.raises(CorpusError, match=r"list:1: the line is not a JSON object$"):
        Completions(tmp_path / "list", {})
    with pytest.raises(CorpusError, match=r"bad:1: the line is not JSON"):
        Completions(tmp_path / "bad", SETTINGS)


@pytest.mark.parametrize("line", ['{"key": "k", "sample": 0}', '{"key": "k", "sample": "x", "completion": ""}', "{}"])
def test_a_line_that_is_no_completion_is_not_taken_for_one(model, tmp_path, line):
    complete(model, tmp_path / "samples")
    with (tmp_path / "samples").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(CorpusError, match=r"samples:11: the line is no completion"):
        Completions(tmp_path / "samples", SETTINGS)


def test_a_prompt_over_the_context_keeps_its_end(model, tmp_path):
    long = Task("long", "x" * 50 + "def f(x):\n", "f", "")
    short = replace(long, task_id="short", prompt=long.prompt[-23:])
    first, second = (
        complete(model, tmp_path / name, tasks=[task], temperature=0.0) for name, task in (("a", long), ("b", short))
    )
    assert first == second


def test_stop_strings_of_human_eval_unless_others_are_given():
    assert b"\ndef" in standard_limits(Limits()).stop
    assert standard_limits(Limits(stop=(b"x",))).stop == (b"x",)


def test_the_command(trained, tmp_path, capsys):
    problem = (
        '{"task_id": "a", "prompt": "def f(x):\\n    return 2 * x\\n", "entry_point": "f", "test": '
        '"def check(f):\\n    assert f(2) == 4\\n"}\n'
    )
    (tmp_path / "easy.jsonl").write_text(problem)
    command = ["evaluate-code", "--load", str(trained.folder), "--tasks", str(tmp_path / "easy.jsonl")]
    # The model is given nothing to write that could break a function that is complete already.
    command += ["--samples", str(tmp_path / "samples"), "--max-bytes", "1", "--stop", "\n"]
    assert cli.main(command) == 0
    assert "nothing was run" in capsys.readouterr().out
    code = cli.main([*command, "--allow-code-execution", "--output", str(tmp_path / "out.json"), "--seconds", "30"])
    captured = capsys.readouterr()
    if "does not let a process confine itself" in captured.err:
        pytest.skip("this system cannot confine programs")
    assert code == 0
    assert captured.out.splitlines()[1].split()[:2] == ["nominal", "1"]
    assert cli.main([*command, "--pass-k", "2"]) == 1
    assert "--pass-k: pass@2 cannot be told from 1 completions" in capsys.readouterr().err
