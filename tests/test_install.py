"""Installing touches nothing that is there, and what is installed without extras prepares data, and needs no torch.

In a container with its own torch and numpy pip proposes neither.
"""

import json
import os
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# As in NVIDIA's PyTorch containers: builds of their own, whose versions no index has, and a file that pins them.
CONTAINER = {"torch": "2.15.0a0+abc.nv", "numpy": "1.26.4"}


def lines(name):
    text = (ROOT / name).read_text()
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_requirements_name_all_that_training_needs():
    assert lines("requirements.txt") == [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["train"]]


def test_the_extras_for_a_gpu_and_for_development_can_train():
    for extra in ("gpu", "dev"):
        assert re.match(r"megatron-proxy\[train\b", PROJECT["optional-dependencies"][extra][0])


@pytest.fixture
def container(tmp_path):
    """A folder of packages of which there is no more than what pip looks at; beside it pip alone."""
    import pip

    folder = tmp_path / "packages"
    folder.mkdir()
    (folder / "pip").symlink_to(Path(pip.__file__).parent)
    for name, version in CONTAINER.items():
        about = folder / f"{name}-{version}.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (about / "INSTALLER").write_text("pip\n")
        (about / "RECORD").write_text("")
    constraint = tmp_path / "constraint.txt"
    constraint.write_text("".join(f"{name}=={version}\n" for name, version in CONTAINER.items()))
    return folder, constraint


def proposed(container, *requirements):
    """Name → version of what pip would install into the container; skips where no index can be asked."""
    folder, constraint = container
    environment = {**os.environ, "PIP_CONSTRAINT": str(constraint), "PYTHONPATH": str(folder)}
    # Without site-packages: what this environment holds is not the container's.
    flags = "--dry-run --only-binary :all: --retries 0 --timeout 20"
    done = subprocess.run(
        [sys.executable, "-S", "-m", "pip", "install", *flags.split(), *requirements],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if re.search(r"NewConnectionError|No matching distribution found|ConnectTimeout|Max retries", done.stderr):
        pytest.skip(f"no package index can be asked: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    line = re.search(r"^Would install (.*)$", done.stdout, re.MULTILINE)
    return dict(word.rsplit("-", 1) for word in line[1].split()) if line else {}


@pytest.mark.long
def test_a_container_keeps_its_torch_and_numpy(container):
    found = proposed(container, *PROJECT["dependencies"], *PROJECT["optional-dependencies"]["train"])
    assert not {"torch", "numpy"} & set(found)
    assert {"megatron-core", "numba", "zstandard"} <= {name.replace("_", "-") for name in found}


@pytest.mark.long
def test_what_would_not_do_would_be_proposed(container):
    """That what the test above finds missing could be there: a bound that the container's numpy does not keep."""
    _, constraint = container
    constraint.write_text("")
    assert set(proposed(container, "numpy>=2", "torch>=2.6", "--no-deps")) == {"numpy"}


def with_what_they_need(requirements):
    """The installed distributions that requirements stand for, and those that these need in turn."""
    found = {}
    left = [Requirement(line) for line in requirements]
    while left:
        one = left.pop()
        if one.name not in found and (one.marker is None or one.marker.evaluate({"extra": ""})):
            found[one.name] = metadata.distribution(one.name)
            left += map(Requirement, found[one.name].requires or [])
    return found


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """Runs Python code where nothing is installed but what `pip install megatron-proxy` brings, and this package."""
    folder = tmp_path_factory.mktemp("base")
    for distribution in with_what_they_need(PROJECT["dependencies"]).values():
        for name in {file.parts[0] for file in distribution.files} - {"..", "__pycache__"}:
            (folder / name).symlink_to(distribution.locate_file(name))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}
    environment.pop("MEGATRON_PROXY_CPU", None)

    def run(code, cwd):
        # Without site-packages.
        command = [sys.executable, "-S", "-c", code]
        return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)

    return run


def test_what_is_there_is_not_more_than_is_installed(base, tmp_path):
    code = (
        "import importlib.util as u\n"
        "names = 'numpy numba zstandard nltk torch megatron transformers tokenizers psutil packaging'.split()\n"
        "print(*(name for name in names if u.find_spec(name)))"
    )
    assert base(code, tmp_path).stdout.split() == ["numpy", "numba", "zstandard", "nltk"]


COMMANDS = {
    "prepare --input c.jsonl --output-prefix data/c --compressor zstd --workers 2": "100 documents",
    "prepare --input c.jsonl --output-prefix data/c --compressor trie --trie-symbols 100 --workers 0": "trie view",
    "verify data/c --deep": "all is well",
    "inspect data/c": "zstd",
    "prepare --input c.jsonl --output-prefix data/s --compressor gzip --workers 0 --shard 0/2": "documents",
    "prepare --input c.jsonl --output-prefix data/s --compressor gzip --workers 0 --shard 1/2": "documents",
    "merge data/s": "100 documents",
    "patch pretrain_gpt.py": "patched",
}


@pytest.mark.long
def test_data_is_prepared_without_torch(base, tmp_path):
    texts = (f"def f{number}(x):\n    return x\n" * 20 for number in range(100))
    (tmp_path / "c.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    (tmp_path / "pretrain_gpt.py").write_text('"""A script."""\n\nimport torch\n')
    # In one process, since each would load numba anew.
    code = (
        "from megatron_proxy import cli\n"
        "if __name__ == '__main__':\n"
        f"    for words in {list(COMMANDS)}:\n"
        "        print('#', cli.main(words.split()), flush=True)"
    )
    done = base(code, tmp_path)
    assert done.returncode == 0, done.stderr
    *printed, rest = re.split(r"^# 0\n", done.stdout, flags=re.MULTILINE)
    assert (len(printed), rest) == (len(COMMANDS), ""), done.stderr
    for (command, words), text in zip(COMMANDS.items(), printed, strict=True):
        assert words in text, command


def test_the_doctor_misses_what_training_needs(base, tmp_path):
    done = base("import sys\nfrom megatron_proxy import cli\nsys.exit(cli.main(['doctor']))", tmp_path)
    assert done.returncode == 1
    missing = {Requirement(line).name for line in PROJECT["optional-dependencies"]["train"]}
    # Megatron, which may be a checkout, is looked at once the others are there.
    assert set(re.findall(r"FAIL +(\S+)", done.stdout)) == missing - {"megatron-core"}
