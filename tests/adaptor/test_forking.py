"""Training tests fork their processes from one that has Megatron loaded: what they get is what users start."""

import json
import os
import signal

import pytest
import tiny_data

SCRIPT = """
import json, os, pathlib, runpy, sys
rank = os.environ.get("RANK", "0")
told = {
    "argv": sys.argv,
    "path": sys.path,
    "folder": os.getcwd(),
    "name": __name__,
    "environment": dict(os.environ),
    "ours": sorted(name for name in sys.modules if name.startswith("megatron_proxy")),
    "input": sys.stdin.read(),
}
pathlib.Path(f"told{rank}.json").write_text(json.dumps(told))
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
# Others each time.
OWN = ("MASTER_PORT", "TORCHELASTIC_RUN_ID", "TORCHELASTIC_ERROR_FILE")


def test_forked_ranks_are_those_of_torchrun(training, tmp_path):
    """The one test that starts torchrun itself; the other kind of start is in test_training.py."""
    tiny_data.prepare(tmp_path / "data", tiny_data.documents(200, words=8))
    (tmp_path / "script.py").write_text(SCRIPT)
    flags = f"{training.SCRIPT} {training.TINY} {training.LLAMA} --tensor-model-parallel-size 2 --num-workers 2 "
    flags += f"--proxy-compression trie --data-path {tmp_path / 'data'} --split 90,5,5"
    runs, told = [], []
    for anew in (True, False):
        runs.append(training.train(flags, processes=2, script=tmp_path / "script.py", cwd=tmp_path, anew=anew))
        told.append([json.loads((tmp_path / f"told{rank}.json").read_text()) for rank in range(2)])
    assert len(runs[0].losses) == 4
    assert (runs[1].losses, runs[1].validation) == (runs[0].losses, runs[0].validation)
    for started, forked in zip(*told, strict=True):
        for name in OWN:
            assert started["environment"].pop(name)
            forked["environment"].pop(name, None)
        assert forked == started


@pytest.fixture
def run(training, tmp_path):
    """Runs lines of Python as a training script."""

    def run(lines, **options):
        (tmp_path / "script.py").write_text(lines)
        return training.train(script=tmp_path / "script.py", cwd=tmp_path, **options).log

    return run


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("print('out'); print('err', file=sys.stderr); sys.exit(3)", 3, "err"),
        ("raise ValueError('no')", 1, "ValueError: no"),
        ("os.kill(os.getpid(), 9)", -signal.SIGKILL, ""),
        ("import atexit; atexit.register(print, 'the end'); print('out')", 0, "out\nthe end"),
    ],
)
def test_a_process_ends_as_python_ends(run, line, code, said):
    assert said in run(f"import os, sys\n{line}\n", code=code)


def test_code_is_run_as_python_runs_it(training, tmp_path):
    code = "import sys; print(__name__, sys.argv, sys.path[:2], vars(sys.modules['__main__']) is globals())"
    started, forked = (training.python("-c", code, "a b", cwd=tmp_path, anew=anew).log for anew in (True, False))
    assert started.startswith("__main__ ['-c', 'a b'] ['', ")
    assert started.endswith(" True\n")
    assert forked == started


def test_one_rank_that_fails_ends_the_others(run, tmp_path):
    log = run(
        """
import os, pathlib, sys, time
rank = os.environ["RANK"]
pathlib.Path(f"pid{rank}").write_text(str(os.getpid()))
if rank == "1":
    while not pathlib.Path("pid0").exists():
        time.sleep(0.01)
    sys.exit("rank 1 fails")
time.sleep(600)
""",
        processes=2,
        code=1,
    )
    assert "rank 1 fails" in log
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid0").read_text()), 0)


def test_a_run_that_takes_too_long_is_ended(run, training, monkeypatch):
    monkeypatch.setattr(training, "SECONDS", 1)
    assert "begun" in run("import time\nprint('begun', flush=True)\ntime.sleep(600)\n", code=training.forking.TIMED_OUT)
