"""The commands of README and tutorial work as they are written, one after the other, in an empty folder."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SKIPPED = ("make ", "source ")
SHORTER = ("--train-iters 100", "--train-iters 2")
# Commands whose output depends on nothing but the corpus.
EXACT = ("prepare", "inspect", "verify", "export")


def commands(page: str, section: str) -> list[str]:
    """What is typed in the code blocks of a section; where there are outputs, lines that begin with a dollar."""
    text = (ROOT / page).read_text(encoding="utf-8")
    text = text[text.index(section) :] if section else text
    found = []
    for block in re.findall(r"^```\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        lines = block.replace("\\\n", " ").splitlines()
        typed = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        found += typed or ([] if "$ " in text else lines)
    return [line for line in found if not line.startswith(SKIPPED)]


def shown(page: str) -> dict[str, list[str]]:
    """What a page shows below each command that begins with a dollar; no lines that were shortened."""
    text = (ROOT / page).read_text(encoding="utf-8").replace("\\\n", " ")
    found: dict[str, list[str]] = {}
    for block in re.findall(r"^```\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            typed, *lines = part.splitlines()
            found[typed] = [line for line in lines if line.strip() and "…" not in line]
    return found


def walk(lines: list[str], folder: Path) -> dict[str, str]:
    """Run commands; gives what each printed."""
    (folder / "examples").symlink_to(ROOT / "examples")
    binaries = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": binaries, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    printed = {}
    for line in lines:
        done = subprocess.run(
            ["bash", "-c", line.replace(*SHORTER)],
            cwd=folder,
            env=environment,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        printed[line] = done.stdout + done.stderr
    return printed


def test_a_run_is_fewer_than_five_commands_away():
    section = "## Two commands on a fresh machine"
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = text[text.index("Then on text of your own") :].split("```")[1].replace("\\\n", " ")
    typed = ["make setup", *block.strip().splitlines()]
    assert len(typed) < 5
    assert typed[-1].startswith("torchrun ")
    assert "--proxy-compression" in typed[-1]
    assert section in text


@pytest.mark.slow
@pytest.mark.megatron
def test_readme(tmp_path):
    texts = [f"def f{number}(x):\n    return x + {number}\n" * 20 for number in range(60)]
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    section = "Then on text of your own"
    lines = commands("README.md", section)
    training = next(line for line in lines if line.startswith("torchrun") and "…" not in line)
    printed = walk(lines[: lines.index(training) + 1], tmp_path)
    assert "successfully saved checkpoint from iteration" in printed[training]


@pytest.mark.slow
@pytest.mark.megatron
def test_tutorial(tmp_path):
    lines = commands("docs/tutorial.md", "")
    names = [line.split()[1] for line in lines if line.startswith("megatron-proxy")]
    assert names == ["prepare", "inspect", "verify", "doctor", "evaluate", "generate", "export"]
    printed = walk(lines, tmp_path)
    assert "compressed rate: " in printed[next(line for line in lines if line.startswith("torchrun"))]
    assert (tmp_path / "exported" / "model.safetensors").exists()
    corpus, *others = (line for line in lines if line.startswith(("python ", *map("megatron-proxy {} ".format, EXACT))))
    output = shown("docs/tutorial.md")
    # Another Python has another standard library.
    if printed[corpus].splitlines() == output[corpus]:
        for line in others:
            assert set(output[line]) <= set(printed[line].splitlines()), line
