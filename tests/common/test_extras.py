"""Missing packages: which extra brings each, and that every command says so."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from megatron_proxy import cli
from megatron_proxy.common import extras

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]


def names(requirements):
    """Names without versions, this package's own extras left out."""
    found = [requirement.split(">")[0].split("[")[0] for requirement in requirements]
    return {name for name in found if name != "megatron-proxy"}


def test_every_extra_brings_what_is_said_of_it():
    for package in extras.PACKAGES.values():
        declared = PROJECT["optional-dependencies"][package.extra] if package.extra else PROJECT["dependencies"]
        assert package.distribution in names(declared), package


def test_all_that_data_and_training_need_is_known():
    needed = names(PROJECT["dependencies"]) | names(PROJECT["optional-dependencies"]["train"])
    assert needed <= {package.distribution for package in extras.PACKAGES.values()}


USING_A_MODEL = {
    "evaluate": "--load x --input {corpus}",
    "evaluate-code": "--load x --tasks {corpus} --samples {folder}/samples",
    "robustness": "--load x --input {corpus}",
    "generate": "--load x --prompt a",
    "export": "--load x --output {folder}/hf",
    "import": "--load x --output {folder}/made --prefix p --compressor zstd",
    "plan": "--world-size 1 {folder}/script.py --proxy-compression zstd",
}


@pytest.mark.long
def test_commands_without_torch_name_the_extra(tmp_path):
    """In one process that cannot import it."""
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text('{"task_id": "a", "prompt": "a", "entry_point": "a", "test": "a", "text": "a"}\n')
    (tmp_path / "script.py").touch()
    lines = [[name, *flags.format(corpus=corpus, folder=tmp_path).split()] for name, flags in USING_A_MODEL.items()]
    script = (
        f"import sys; sys.modules['torch'] = None\nfrom megatron_proxy import cli\nprint([*map(cli.main, {lines})])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stderr == "".join(
        f"megatron-proxy: error: megatron-proxy {name}: the package torch is not installed\n"
        "  what to do: pip install 'megatron-proxy[train]'\n"
        for name in USING_A_MODEL
    )
    assert done.stdout == f"{[1] * len(USING_A_MODEL)}\n"


def test_what_no_extra_brings_is_not_hidden(monkeypatch):
    """A script's own missing module, or a part of a package that is there."""
    assert extras.advice(ModuleNotFoundError(name="megatron.training.new")) is None
    assert extras.advice(ModuleNotFoundError(name="tiktoken")) == "pip install 'megatron-proxy[tokenizers]'"
    assert extras.advice(ModuleNotFoundError(name="numpy")) == "pip install megatron-proxy"
    monkeypatch.setattr(cli, "module_of", lambda name: __import__("gpt_builders"))
    with pytest.raises(ModuleNotFoundError, match="gpt_builders"):
        cli.main(["verify", "prefix"])
