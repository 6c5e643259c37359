"""The factor of ``--rope-scaling-factor`` reaches the model; real models with one are in tests/model/hf."""

from types import SimpleNamespace

import pytest

from megatron_proxy.adaptor import positions, run


@pytest.fixture
def made():
    """What a model is made with, by a stand-in for Megatron's ``GPTModel.__init__`` behind the hook."""
    found = []
    hooked = positions.with_factor(lambda model, config, rope_scaling_factor=8.0: found.append(rope_scaling_factor))

    def make(**given):
        hooked(object(), "config", **given)
        return found[-1]

    return make


def test_a_model_has_the_factor_of_the_run_unless_its_script_gives_one(made, monkeypatch):
    assert made() == 8.0
    monkeypatch.setattr(run, "active", lambda: SimpleNamespace(args=SimpleNamespace(rope_scaling_factor=32.0)))
    assert made() == 32.0
    assert made(rope_scaling_factor=4.0) == 4.0
