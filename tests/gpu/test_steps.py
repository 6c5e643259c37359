"""The proof on a GPU: that its steps run, on the CPU, and that the one that runs them tells what becomes of each."""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import psutil
import pytest

pytest.importorskip("megatron.training", reason="megatron-core is not installed")

import torch
from processes import still_running

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]
# Only with a GPU: Transformer Engine, and a second shape.
SKIPPED_ON_A_CPU = {"speed-large": "on the CPU one shape is enough", "fp8": "Transformer Engine needs a GPU"}


def told(folder):
    """The steps that a run has told of, by name."""
    return {step["name"]: step for step in json.loads((folder / "results.json").read_text())["steps"]}


@pytest.mark.megatron
def test_every_step_runs_on_the_cpu(tmp_path):
    done = subprocess.run(
        ["tests/gpu/run.sh", "--cpu", "--minutes", "12", "--output", tmp_path / "results"],
        cwd=ROOT,
        env={**os.environ, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    steps = told(tmp_path / "results")
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    states = {name: (step["state"], step["reason"]) for name, step in steps.items()}
    assert {name: reason for name, (state, reason) in states.items() if state == "skipped"} == SKIPPED_ON_A_CPU
    assert {state for state, _ in states.values()} == {"passed", "skipped"}
    # Another number format: what is compared is not one run with itself.
    assert 0 < steps["losses"]["rows"][0]["ours"] < 2**-7
    assert sorted(path.name for path in (tmp_path / "results").iterdir()) == ["log.txt", "results.json", "table.md"]
    assert "| losses | passed |" in (tmp_path / "results" / "table.md").read_text()


# Steps that end in all ways, in place of the real ones.
STEPS = """
import json, os, subprocess, sys, time

sys.path.insert(0, sys.argv.pop(1))
import data, run, steps, training
from harness import Row
from settings import Skipped
from steps import Step

def found(settings):
    yield Row("found", 1.0, "", goal="<= 1")

def missed(settings):
    yield Row("missed", 2.0, "", goal="<= 1")
    yield Row("not asked for", 2.0, "")

def crashes(settings):
    yield Row("before the crash", 1.0, "")
    os.abort()

def hangs(settings):
    results = json.load(open(os.path.join(sys.argv[sys.argv.index("--output") + 1], "results.json")))
    yield Row("told so far", sum(step["state"] != "not reached" for step in results["steps"]), "")
    print("started", subprocess.Popen(["sleep", "600"]).pid, flush=True)
    time.sleep(600)

def wrong(settings):
    yield Row("before the error", 1.0, "")
    raise ValueError("what is wrong")

def skips(settings):
    raise Skipped("nothing to do")
    yield

sys.modules["made"] = sys.modules["__main__"]
made = (
    Step("found", "made.found", 60), Step("missed", "made.missed", 60), Step("crashes", "made.crashes", 60),
    Step("wrong", "made.wrong", 60), Step("hangs", "made.hangs", 2), Step("skips", "made.skips", 60),
    Step("after", "made.found", 60, needs=("found", "wrong")),
)
steps.STEPS.clear()
steps.STEPS.update({step.name: step for step in made})
data.make = training.load = lambda *_: None
sys.exit(run.main())
"""


def run_in_all_ways(folder, *flags):
    command = [sys.executable, "-c", STEPS, ROOT / "tests" / "gpu", "--cpu", "--output", folder, *flags]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    return run_in_all_ways(folder), folder


def test_what_becomes_of_each_step(ended):
    done, folder = ended
    assert done.returncode == 1, done.stderr
    steps = told(folder)
    assert {name: step["state"] for name, step in steps.items()} == {
        "found": "passed",
        "missed": "missed a goal",
        "crashes": "failed",
        "wrong": "failed",
        "hangs": "timed out",
        "skips": "skipped",
        "after": "skipped",
    }
    assert steps["missed"]["reason"] == "missed"
    assert steps["crashes"]["reason"] == "exit code -6"
    assert steps["wrong"]["reason"] == "ValueError: what is wrong"
    assert steps["skips"]["reason"] == "nothing to do"
    assert steps["after"]["reason"] == "needs the step wrong, which did not come to its end"
    assert 2 <= steps["hangs"]["seconds"] < 60


def test_what_a_step_had_found_is_kept(ended):
    _, folder = ended
    steps = told(folder)
    assert [row["name"] for row in steps["crashes"]["rows"]] == ["before the crash"]
    assert [row["name"] for row in steps["wrong"]["rows"]] == ["before the error"]
    assert [row["reached"] for row in steps["missed"]["rows"]] == [False, None]
    table = (folder / "table.md").read_text()
    assert "| hangs | timed out | " in table
    assert "| missed | 2  |  |  | <= 1 | no |" in table


def test_results_are_told_after_each_step(ended):
    _, folder = ended
    assert told(folder)["hangs"]["rows"][0]["ours"] == 4


def test_what_a_step_has_started_ends_with_it(ended):
    _, folder = ended
    log = (folder / "log.txt").read_text()
    (pid,) = (int(line.split()[1]) for line in log.splitlines() if line.startswith("started "))
    assert not (psutil.pid_exists(pid) and still_running([psutil.Process(pid)], 5))
    assert "===== wrong: failed =====\nTraceback" in log


def test_when_the_time_is_up_no_step_begins(tmp_path):
    done = run_in_all_ways(tmp_path / "results", "--minutes", "0.05", "--only", "found", "skips")
    assert done.returncode == 0, done.stderr
    steps = told(tmp_path / "results")
    assert {name: (step["state"], step["reason"]) for name, step in steps.items()} == {
        "found": ("not reached", "the time was up"),
        "skips": ("not reached", "the time was up"),
    }


def test_a_run_on_a_gpu_asks_for_its_data(tmp_path):
    command = [sys.executable, "tests/gpu/run.py", "--data", tmp_path, "--output", tmp_path / "results"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"there is no data in {tmp_path}: `make gpu-data` makes it"


@pytest.fixture
def losses(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tests" / "gpu")
    import losses

    return losses


def test_the_largest_difference_of_two_runs(losses):
    one = [{"lm loss": 8.0, "raw bpb": 4.0}, {"lm loss": 5.0}]
    assert losses.furthest(one, one) == 0
    assert losses.furthest([{"lm loss": 8.0, "raw bpb": 3.0}, {"lm loss": 6.0}], one) == 0.25
    for missing in ([], one[:1], [one[0], {"raw bpb": 5.0}]):
        with pytest.raises(ValueError, match="not figures of the same iterations"):
            losses.furthest(missing, one)


def test_waits_are_noted_by_the_line_that_waits():
    from waits import watched

    with watched(gpu=False) as waits:
        torch.ones(2).sum().item()
        first = waits.take()
        torch.ones(2) + 1
        second = waits.take()
    (place,) = first
    assert place.startswith("tests/gpu/test_steps.py:")
    assert (first[place], second) == (1, {})


def test_what_torch_tells_of_waits_is_noted_and_other_warnings_are_shown():
    from waits import Waits, told

    def warn():
        with told(waits):
            for text in ("called a synchronizing CUDA operation (Triggered internally at …)", "something else"):
                for _ in range(2):
                    warnings.warn(text, stacklevel=1)

    waits = Waits()
    with pytest.warns(UserWarning, match="something else") as shown:
        warn()
    assert {str(one.message) for one in shown} == {"something else"}
    assert list(waits.take().values()) == [2]
