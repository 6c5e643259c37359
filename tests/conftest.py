"""Options and environment shared by all tests."""

import hashlib
import importlib
import os
import sys
from pathlib import Path
from types import ModuleType

import hypothesis
import pytest

# Other work on the same cores must not decide whether a test passes.
hypothesis.settings.register_profile("no deadline", deadline=None)
hypothesis.settings.load_profile("no deadline")

# Modules that tests share.
sys.path.append(str(Path(__file__).parent / "helpers"))

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
    from megatron_proxy import patching

    found = {}
    for folder in filter(None, os.environ.get("MEGATRON_LM", "").split(os.pathsep)):
        script = (Path(folder) / "pretrain_gpt.py").read_bytes()
        if tag := patching.TESTED.get(hashlib.sha256(script).hexdigest()):
            found[tag] = Path(folder)
    return found
