"""Plans made before the training, by its own script and flags."""

import functools
import shutil
from pathlib import Path

import pytest

pytest.importorskip("megatron.training", reason="megatron-core is not installed")

import tiny_data
import training as launching

from megatron_proxy.tools import patching

FLAGS = (
    f"{launching.TINY} --proxy-compression trie --split 90,5,5 --tensor-model-parallel-size 2 --global-batch-size 16 "
    "--data-path a --data-cache-path cache"
)


@pytest.fixture
def plan(training):
    """Runs the command."""
    return functools.partial(training.python, "-m", "megatron_proxy.cli", "plan")


@pytest.fixture
def folder(tmp_path):
    tiny_data.prepare(tmp_path / "a", tiny_data.documents(200))
    return tmp_path


def ours(checkouts, folder):
    return launching.SCRIPT, None


def stock(checkouts, folder):
    if "core_v0.19.0" not in checkouts:
        pytest.skip("MEGATRON_LM names no checkout of core_v0.19.0")
    script = Path(shutil.copy(checkouts["core_v0.19.0"] / "pretrain_gpt.py", folder))
    script.chmod(0o644)
    patching.patch(script)
    return script, checkouts["core_v0.19.0"]


@pytest.mark.parametrize("script_of", [ours, stock])
def test_training_finds_the_plans(training, plan, checkouts, folder, script_of):
    script, path = script_of(checkouts, folder)
    plan("--world-size", "2", str(script), *FLAGS.split(), cwd=folder, path=path)
    made = {one.name: one.stat().st_ino for one in (folder / "cache").iterdir()}
    assert len(made) == 3
    training.train(FLAGS, training.NO_DROPOUT, processes=2, cwd=folder, script=script, path=path)
    # Nothing was planned: a plan that is made is a new file.
    assert {one.name: one.stat().st_ino for one in (folder / "cache").iterdir()} == made


def test_what_cannot_be_planned_is_told(plan, folder):
    script = folder / "script.py"
    script.write_text("print('done')\n")
    for words, message in (
        (["none.py", "--proxy-compression", "trie"], "SCRIPT: there is no script 'none.py'"),
        (["script.py", "--seed", "1"], "--proxy-compression: the command has no --proxy-compression"),
        (
            ["script.py", "--proxy-compression", "trie"],
            "script.py: the script ended without calling Megatron's pretrain",
        ),
        (["--world-size", "0", "script.py"], "--world-size: must be at least 1, not 0"),
    ):
        said = plan(*words, cwd=folder, code=1).log
        assert f"megatron-proxy: error: {message}" in said
        assert "Traceback" not in said
