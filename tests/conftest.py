"""Options and environment shared by all tests."""

import fcntl
import gc
import hashlib
import importlib.util
import os
import shutil
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
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

import counting  # noqa: E402

# What a command prints in these processes must not depend on what has been compiled before.
importlib.import_module("megatron_proxy.common.jit").compiling.told = True

# What is imported and collected stays: looking through it for garbage is a fifth of the time until the first test.
gc.disable()

# Before torch is imported anywhere: two cores are shared by the tests and the training processes they start.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--run-slow", action="store_true", help="also run the tests marked slow")


# Before pytest's own, which deselects by marker.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what starts Megatron, whatever it is about; skip what is slow unless told otherwise."""
    skip = pytest.mark.skip(reason="slow: give --run-slow to run it")
    for item in items:
        if {"training", "trained"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("megatron")
        if "slow" in item.keywords and not config.getoption("--run-slow"):
            item.add_marker(skip)


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let a report carry what its test has counted."""
    report = yield
    report.counts = counting.take()
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    # The report of a worker that has died is made by pytest-xdist.
    counting.add(getattr(report, "counts", []))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for section in counting.SECTIONS:
        if lines := list(counting.lines(section)):
            terminalreporter.section(section)
            terminalreporter.write_line("\n".join(lines))


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register the compressors of tests/helpers/toy_compressor.py."""
    compressors = importlib.import_module("megatron_proxy.compressors")
    known = {"toy": "toy_compressor:ToyCompressor", "whole": "toy_compressor:WholeCompressor"}
    registry = compressors._registry() | known
    monkeypatch.setattr(compressors, "_registry", lambda: registry)


@pytest.fixture(scope="session")
def training() -> Iterator[ModuleType]:
    """Starts Megatron's training loop: see tests/helpers/training.py."""
    if importlib.util.find_spec("megatron.training") is None:
        pytest.skip("megatron-core is not installed")
    module = importlib.import_module("training")
    yield module
    module.close()


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


@contextmanager
def once(folder: Path) -> Iterator[bool]:
    """Whether ``folder`` is to be filled. Processes that ask for the same one wait for whoever has been told so."""
    with Path(f"{folder}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = folder / "done"
        if folder.exists() and not done.exists():
            shutil.rmtree(folder)
        folder.mkdir(exist_ok=True)
        yield not done.exists()
        done.touch()


@pytest.fixture(scope="session")
def trained(training: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A checkpoint with grouped queries and a format embedding, for all that uses a trained model.

    It is read only: the workers of pytest-xdist, whose folders have one parent, share it.
    """
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "trained"
    tiny_data = importlib.import_module("tiny_data")
    texts = tiny_data.documents(200, words=8)
    flags = (
        f"{training.TINY} {training.LLAMA} {training.NO_DROPOUT} --group-query-attention --num-query-groups 2 "
        f"--proxy-compression trie --proxy-format-embedding --data-path {folder / 'data'} --split 90,5,5 "
        "--lr 1e-2 --init-method-std 0.1"
    )
    parallel = f"--tensor-model-parallel-size 2 --save {folder / 'checkpoint'} --save-interval 4"
    with once(folder) as to_do:
        if to_do:
            tiny_data.prepare(folder / "data", texts)
            training.train(flags, parallel, processes=2, cwd=folder)
    return Trained(folder / "checkpoint", folder / "data", texts, flags)
