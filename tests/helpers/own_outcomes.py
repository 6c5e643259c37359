"""A pytest plugin for Megatron's own tests: on a CPU, without a download, with or without our hooks, outcomes kept.

``OWN_HOOKS`` says whether the hooks are installed before anything is collected, ``OWN_OUTCOMES`` where the outcomes go.
"""

import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from megatron_proxy.adaptor import cpu, hooks

# Megatron's conftest fetches data for tests that are not run here, into a folder outside the checkout.
sys.modules["tests.test_utils.python_scripts.download_unit_tests_dataset"] = SimpleNamespace(
    download_and_extract_asset=lambda **places: None
)

cpu.install()
if os.environ["OWN_HOOKS"] == "1":
    given = sys.argv
    sys.argv = [*given, "--proxy-format-embedding"]
    hooks.install()
    sys.argv = given

_WORSE = ("passed", "skipped", "failed")
_outcomes: dict[str, str] = {}


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Keep the worst of a test's setup, call and teardown: one that is skipped has a teardown that passes."""
    _outcomes[report.nodeid] = max(_outcomes.get(report.nodeid, "passed"), report.outcome, key=_WORSE.index)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Keep what could not be collected."""
    if report.failed:
        _outcomes[report.nodeid] = "not collected"


def pytest_sessionfinish() -> None:
    """Write what was kept."""
    Path(os.environ["OWN_OUTCOMES"]).write_text(json.dumps(_outcomes))
