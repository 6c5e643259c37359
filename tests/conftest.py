"""Options and environment shared by all tests."""

import hashlib
import importlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import hypothesis
import pytest

# Other work on the same cores must not decide whether a test passes.
hypothesis.settings.register_profile("no deadline", deadline=None)
hypothesis.settings.load_profile("no deadline")

# Modules that tests share.
sys.path.append(str(Path(__file__).parent / "helpers"))

# What a command prints in these processes must not depend on what has been compiled before.
importlib.import_module("megatron_proxy.common.jit").compiling.told = True

# Before torch is imported anywhere: two cores are shared by the tests and the training processes they start.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--run-slow", action="store_true", help="also run the tests marked slow")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--run-slow"):
        return
    skip = pytest.mark.skip(reason="slow: give --run-slow to run it")
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(scope="session")
def training() -> ModuleType:
    """Starts Megatron's training loop: see tests/helpers/training.py."""
    pytest.importorskip("megatron.training", reason="megatron-core is not installed")
    return importlib.import_module("training")


@pytest.fixture(scope="session")
def checkouts() -> dict[str, Path]:
    """The Megatron-LM checkouts that MEGATRON_LM names (folders parted by ':'), by tested tag."""
    from megatron_proxy.tools import patching

    found = {}
    for folder in filter(None, os.environ.get("MEGATRON_LM", "").split(os.pathsep)):
        script = (Path(folder) / "pretrain_gpt.py").read_bytes()
        if tag := patching.TESTED.get(hashlib.sha256(script).hexdigest()):
            found[tag] = Path(folder)
    return found


@dataclass(frozen=True)
class Trained:
    """A tiny model trained by Megatron on two tensor-parallel ranks: its checkpoint, data, and flags."""

    folder: Path
    prefix: Path
    texts: list[bytes]
    flags: str


@pytest.fixture(scope="session")
def trained(training: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A checkpoint with grouped queries and a format embedding, for all that uses a trained model."""
    tiny_data = importlib.import_module("tiny_data")
    folder = tmp_path_factory.mktemp("trained")
    texts = tiny_data.documents(200, words=8)
    tiny_data.prepare(folder / "data", texts)
    flags = (
        f"{training.TINY} {training.LLAMA} {training.NO_DROPOUT} --group-query-attention --num-query-groups 2 "
        f"--proxy-compression trie --proxy-format-embedding --data-path {folder / 'data'} --split 90,5,5 "
        "--lr 1e-2 --init-method-std 0.1"
    )
    parallel = f"--tensor-model-parallel-size 2 --save {folder / 'checkpoint'} --save-interval 4"
    training.train(flags, parallel, processes=2, cwd=folder)
    return Trained(folder / "checkpoint", folder / "data", texts, flags)
