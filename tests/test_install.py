"""Installing touches nothing that is there: in a container with its own torch and numpy pip proposes neither."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

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
