"""What the plugin refuses that no command line of tests/adaptor/test_training.py brings about."""

import sys
from argparse import Namespace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("megatron.training", reason="megatron-core is not installed")

import megatron_args  # noqa: E402
from megatron.core.datasets.gpt_dataset import GPTDataset  # noqa: E402
from megatron.training import global_vars  # noqa: E402

from megatron_proxy.adaptor import hooks, run  # noqa: E402
from megatron_proxy.adaptor.checks import support  # noqa: E402
from megatron_proxy.adaptor.data import dataset  # noqa: E402
from megatron_proxy.adaptor.release import model  # noqa: E402
from megatron_proxy.errors import UnsupportedError  # noqa: E402


def test_a_script_that_wants_shorter_samples():
    with pytest.raises(UnsupportedError, match=r"^add_extra_token_to_sequence: this script wants samples without"):
        dataset._swapped(GPTDataset, Namespace(add_extra_token_to_sequence=False))


def test_no_megatron(monkeypatch):
    monkeypatch.setitem(sys.modules, "megatron.core.package_info", None)
    with pytest.raises(UnsupportedError, match=r"^Megatron-Core cannot be imported \(import of .*\); supported: "):
        hooks.megatron_version()


def test_an_architecture_of_the_stock_script():
    with pytest.raises(UnsupportedError, match=r"^--spec: this architecture is not built here\n.*patch"):
        model.build_gpt(megatron_args.parse("--spec a b"), True, True)


def test_every_refused_flag_is_on_the_page_of_parallelism():
    page = (Path(__file__).parents[3] / "docs" / "parallelism.md").read_text(encoding="utf-8")
    assert [refusal.flag for refusal in support.REFUSALS if refusal.flag not in page] == []


def test_hooks_without_a_run(monkeypatch):
    monkeypatch.setattr(global_vars, "_GLOBAL_ARGS", None)
    with pytest.raises(UnsupportedError, match=r"^--proxy-compression: this needs a run with --proxy-compression$"):
        run.current()
