"""The recipes of docs/cluster.md: shell scripts that can be read, flags of torchrun and Megatron, extras."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
FLAG = re.compile(r"(?<![\w-])--[a-z][\w-]*")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
(SCRIPT,) = (block for block in BLOCKS if block.startswith("#!/bin/bash"))


def flags_of(parser):
    return {flag for action in parser._actions for flag in action.option_strings}


def test_every_block_is_a_shell_script():
    for block in BLOCKS:
        done = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{block}\n{done.stderr}"
    assert len(BLOCKS) >= 4


def test_torchrun_has_the_flags():
    run = pytest.importorskip("torch.distributed.run")
    line = SCRIPT.replace("\\\n", " ").partition("torchrun ")[2].partition("pretrain_gpt.py")[0]
    named = set(FLAG.findall(line))
    assert named == {"--nnodes", "--nproc-per-node", "--rdzv-backend", "--rdzv-endpoint", "--rdzv-id"}
    assert named <= flags_of(run.get_args_parser())


@pytest.mark.megatron
def test_megatron_has_the_flags():
    pytest.importorskip("megatron.training")
    import megatron_args

    named = set(FLAG.findall(SCRIPT.partition("pretrain_gpt.py")[2])) | {"--exit-signal-handler"}
    assert "`--exit-signal-handler`" in PAGE
    assert named <= flags_of(megatron_args.parser())
    assert {"--save", "--load", "--exit-duration-in-mins"} < named


def test_what_the_container_lacks_is_what_megatron_does_not_declare():
    line = re.search(r"^pip install \. (.*)$", PAGE, re.MULTILINE)[1]
    training = [re.match(r"[\w-]+", requirement)[0] for requirement in PROJECT["optional-dependencies"]["train"]]
    assert set(line.split()) == set(training) - {"torch", "megatron-core"}


def test_extras_are_there():
    extras = set(re.findall(r"pip \w+ [^\n`]*?\[(\w+)\]", PAGE))
    assert "train" in extras
    assert extras <= set(PROJECT["optional-dependencies"])
