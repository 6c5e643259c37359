"""FLOPs by hand, and as Megatron counts them."""

import argparse

import pytest
from report_logs import FLOPS_PER_TOKEN, HEAD

from megatron_proxy.tools.report import flops
from megatron_proxy.tools.report.runs import read_run
from megatron_proxy.tools.report.settings import parse


def test_a_dense_model():
    assert flops.per_token(parse(HEAD.splitlines())) == FLOPS_PER_TOKEN


def test_without_groups_and_gate():
    lines = HEAD.replace("group_query_attention ........................... True", "group_query_attention ... False")
    settings = parse(
        lines.replace("swiglu .......................................... True", "swiglu . False").splitlines()
    )
    weights = 2 * (4 * 16 * 16 + 2 * 16 * 24) + 16 * 384
    assert flops.per_token(settings) == 6 * (weights + 2 * 16 * 32)


@pytest.mark.parametrize(("old", "new"), [("num_experts ...", "num_experts ... 8"), ("num_layers ...", "layers ... 2")])
def test_other_models_and_missing_figures_are_not_computed(old, new):
    lines = [new if old in line else line for line in HEAD.splitlines()]
    assert flops.per_token(parse(lines)) is None


def test_of_other_models_the_printed_throughput_counts(tmp_path):
    def line(iteration: int, milliseconds: float) -> str:
        return (
            f" iteration {iteration}/ 20 | elapsed time per iteration (ms): {milliseconds} | "
            "throughput per GPU (TFLOP/s/GPU): 100.0 | raw bpb: 3.0 |"
        )

    head = HEAD.replace("num_experts ..................................... None", "num_experts ... 8")
    (tmp_path / "a.log").write_text("\n".join([head, line(10, 1000.0), line(20, 500.0)]))
    # 2 GPUs of 1e14 FLOP/s: ten iterations of a second, ten of half a second.
    assert read_run(tmp_path).places["FLOPs"] == [(10, 2e15), (20, 3e15)]


def test_as_megatron_counts():
    training = pytest.importorskip("megatron.training.training", reason="megatron-core is not installed")
    settings = parse(HEAD.splitlines())
    names = ("num_layers", "hidden_size", "ffn_hidden_size", "num_attention_heads", "num_query_groups", "kv_channels")
    known = {name: settings.number(name) for name in (*names, "seq_length")}
    known |= {"group_query_attention": True, "swiglu": True, "padded_vocab_size": settings.padded_vocabulary}
    counted = training.num_floating_point_operations(_Lenient(**known), 4)
    assert counted == FLOPS_PER_TOKEN * 4 * 32


class _Lenient(argparse.Namespace):
    """Megatron's arguments, None where they do not matter here."""

    def __getattr__(self, name: str) -> None:
        return None
