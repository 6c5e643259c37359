"""The wheel holds all that the package uses and runs away from a checkout: patches, launcher, the harness' task."""

import email
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[1]
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "megatron_proxy")


def run(*command, cwd, path=None, timeout=600):
    """Run a command; its output. Nothing is found by PYTHONPATH but ``path``."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONPATH", None)
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    done = subprocess.run(
        [sys.executable, *map(str, command)], cwd=cwd, env=environment, capture_output=True, text=True, timeout=timeout
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built of a copy, so that nothing is left in the checkout; without a network."""
    pytest.importorskip("setuptools", minversion="77")
    source, made = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source)
    flags = "--quiet --no-deps --no-index --no-build-isolation"
    run("-m", "pip", "wheel", *flags.split(), "--wheel-dir", made, source, cwd=source)
    (path,) = made.iterdir()
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A folder with the package as it is installed."""
    folder = tmp_path_factory.mktemp("installed")
    run("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", folder, wheel, cwd=folder)
    return folder


def test_the_wheel_holds_every_file_of_the_package(wheel):
    files = {path.relative_to(ROOT).as_posix() for path in (ROOT / "megatron_proxy").rglob("*") if path.is_file()}
    files = {file for file in files if "__pycache__" not in file}
    with zipfile.ZipFile(wheel) as content:
        held = {name for name in content.namelist() if ".dist-info/" not in name}
    assert held == files
    assert "megatron_proxy/py.typed" in files
    assert "megatron_proxy/tools/patches/core_v0.19.0.patch" in files
    assert "megatron_proxy/evaluation/lm_eval/raw_bytes.yaml" in files


def test_one_wheel_for_every_machine(wheel):
    assert wheel.name.endswith("-py3-none-any.whl")


def test_its_metadata(wheel):
    with zipfile.ZipFile(wheel) as content:
        (name,) = (name for name in content.namelist() if name.endswith(".dist-info/METADATA"))
        told = email.message_from_string(content.read(name).decode())
    assert told["Description-Content-Type"] == "text/markdown"
    assert told.get_payload().startswith("# megatron_proxy\n")
    assert told["Requires-Python"] == ">=3.12"
    assert told["License-Expression"] == "Apache-2.0"
    assert "Programming Language :: Python :: 3.13" in told.get_all("Classifier")
    assert told.get_all("Project-URL") == ["Paper, https://arxiv.org/abs/2602.04289"]
    alone = {re.match(r"[\w-]+", line)[0] for line in told.get_all("Requires-Dist") if "extra ==" not in line}
    assert alone == {"numpy", "numba", "zstandard", "sentencepiece", "nltk", "orjson", "safetensors", "tqdm"}


def checkout(folder):
    """A copy of the scripts of the first checkout in MEGATRON_LM, or something like them."""
    given = os.environ.get("MEGATRON_LM", "").split(os.pathsep)[0]
    folder.mkdir()
    for name in ("pretrain_gpt.py", "pretrain_hybrid.py"):
        if given:
            shutil.copy(Path(given) / name, folder)
        else:
            (folder / name).write_text('"""A script."""\n\nimport torch\n')
    return folder


def test_it_patches_a_checkout(installed, tmp_path):
    target = checkout(tmp_path / "Megatron-LM")
    assert str(installed) in run("-c", "import megatron_proxy as m; print(m.__file__)", cwd=tmp_path, path=installed)
    printed = run("-m", "megatron_proxy", "patch", target, cwd=tmp_path, path=installed)
    assert printed.count(": patched") == 2
    assert "\nimport megatron_proxy.adaptor" in (target / "pretrain_gpt.py").read_text()


def test_it_names_its_own_launcher(installed, tmp_path):
    script = "from megatron_proxy.tools import doctor; print(doctor.next_command(None, 'data/x', 'gzip'))"
    assert run("-c", script, cwd=tmp_path, path=installed) == (
        "torchrun … -m megatron_proxy.pretrain_gpt … --data-path data/x --proxy-compression gzip\n"
    )


TRAINING = (
    "--proxy-compression gzip --data-path data/c --split 90,10,0 --num-layers 1 --hidden-size 16 "
    "--num-attention-heads 2 --seq-length 64 --max-position-embeddings 64 --micro-batch-size 2 --global-batch-size 2 "
    "--train-iters 3 --lr 1e-3 --eval-iters 1 --eval-interval 3 --save saved --save-interval 3 --log-interval 1"
)


@pytest.mark.slow
@pytest.mark.megatron
def test_it_prepares_trains_and_evaluates(installed, tmp_path):
    with (tmp_path / "c.jsonl").open("w") as corpus:
        corpus.writelines(
            json.dumps({"text": f"def f{number}(x):\n    return x\n" * 20}) + "\n" for number in range(40)
        )
    command = "-m megatron_proxy prepare --input c.jsonl --output-prefix data/c --compressor gzip --workers 0"
    run(*command.split(), cwd=tmp_path, path=installed)
    printed = run("-m", "megatron_proxy.pretrain_gpt", *TRAINING.split(), cwd=tmp_path, path=installed)
    assert "raw bpb" in printed
    evaluating = "-m megatron_proxy evaluate --load saved --input c.jsonl --max-documents 2 --json"
    figures = json.loads(run(*evaluating.split(), cwd=tmp_path, path=installed))
    assert figures["iteration"] == 3
