"""Whether the others will wait for as long as planning takes."""

from types import SimpleNamespace

import numpy as np
import pytest

from megatron_proxy.adaptor.patience import Patience
from megatron_proxy.data.sampling.plan import PlanSpec
from megatron_proxy.data.sampling.schedule import Schedule

SPEC = PlanSpec(1, 64, Schedule(), horizon_samples=1000, num_samples=1000, documents=range(400), block=1)
EPOCH = PlanSpec(1, 64, Schedule(), horizon_samples=1000, num_samples=None, documents=range(400))


class Planning:
    """Plans whose parts take a while each, by a clock of their own."""

    def __init__(self, limit):
        self.seconds, self.warnings = 0.0, []
        self.patience = Patience(limit, self.warnings.append, lambda: self.seconds)

    def make(self, spec, name, parts, rows, seconds):
        def slowly():
            for _ in range(parts):
                self.seconds += seconds
                yield {name: np.zeros(rows)}

        made = list(self.patience.watch(slowly(), spec))
        assert [len(part[name]) for part in made] == [rows] * parts


@pytest.mark.parametrize(
    ("spec", "name", "rows"), [(SPEC, "sample_index", 10), (EPOCH, "draw_documents", 4)], ids=["windows", "epoch"]
)
def test_a_plan_that_takes_too_long_is_told_once_and_early(spec, name, rows):
    planning = Planning(600.0)
    # A hundredth in twelve seconds: twenty minutes in all.
    planning.make(spec, name, 100, rows, 12.0)
    assert planning.warnings == [pytest.approx(1200.0)]


def test_a_plan_that_is_made_in_time_is_not_told():
    planning = Planning(600.0)
    planning.make(SPEC, "sample_index", 100, 10, 5.9)
    assert planning.warnings == []


def test_the_plans_of_a_blend_add_up():
    planning = Planning(600.0)
    for _ in range(3):
        planning.make(SPEC, "sample_index", 10, 100, 25.0)
    # Two took 500 seconds; a tenth of the third shows that there will be 750.
    assert planning.warnings == [pytest.approx(750.0)]


def test_the_warning_names_the_command(capsys, monkeypatch):
    run = pytest.importorskip("megatron_proxy.adaptor.run", reason="megatron-core is not installed")
    monkeypatch.setattr("sys.argv", ["pretrain_gpt.py", "--data-path", "my corpus"])
    args = SimpleNamespace(rank=0, world_size=1024, distributed_timeout_minutes=10)
    run._warn_of_waiting(args, 1500.0)
    out = capsys.readouterr().out
    assert (
        "planning takes some 25 minutes in all, and the other ranks wait for 10 (--distributed-timeout-minutes)" in out
    )
    assert out.endswith(": megatron-proxy plan --world-size 1024 pretrain_gpt.py --data-path 'my corpus'\n")


def test_parts_without_rows_tell_nothing():
    planning = Planning(600.0)
    planning.make(SPEC, "step_draws", 3, 5, 1000.0)
    assert planning.warnings == []
