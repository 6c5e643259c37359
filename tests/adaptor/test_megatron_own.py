"""Megatron's own unit tests come out the same with the hooks as without: tests/megatron_own.py."""

import os
import sys
from pathlib import Path

import pytest

pytest.importorskip("megatron.training", reason="megatron-core is not installed")

sys.path.append(str(Path(__file__).parents[1]))
import megatron_own

CHECKOUTS = [Path(folder) for folder in os.environ.get("MEGATRON_LM", "").split(os.pathsep) if folder]


@pytest.mark.slow
@pytest.mark.parametrize("checkout", CHECKOUTS or [None], ids=lambda folder: folder.name if folder else "none")
def test_megatrons_own_tests_are_the_same_with_the_hooks(checkout, capsys):
    if checkout is None or not (checkout / "tests" / "unit_tests").is_dir():
        pytest.skip("MEGATRON_LM names no checkout with Megatron's tests")
    assert megatron_own.main([str(checkout)]) == 0, capsys.readouterr().out


def test_a_difference_is_found(monkeypatch, capsys):
    found = {False: {"a": "passed", "b": "failed"}, True: {"a": "passed", "b": "passed", "c": "failed"}}
    monkeypatch.setattr(megatron_own, "outcomes", lambda checkout, hooks: found[hooks])
    assert megatron_own.main(["checkout"]) == 1
    assert capsys.readouterr().out == (
        "checkout without the hooks: 1 failed, 1 passed\ncheckout with them: 1 failed, 2 passed\n"
        "  b: failed without, passed with\n  c: not run without, failed with\n"
    )
    found[True] = found[False]
    assert megatron_own.main(["checkout"]) == 0


def test_where_nothing_passes_nothing_is_proven(monkeypatch):
    monkeypatch.setattr(megatron_own, "outcomes", lambda checkout, hooks: {"a": "not collected"})
    assert megatron_own.main(["checkout"]) == 1
