"""What share of raw bytes a run's rates ask for, and when it is told that it will not see them."""

import pytest

pytest.importorskip("megatron.training", reason="megatron-core is not installed")

from megatron_proxy.adaptor.data import shares
from megatron_proxy.data.sampling.schedule import Mode, Schedule


def test_the_share_that_a_schedule_asks_for():
    assert shares.asked_share(Schedule.constant(0.0, Mode.SENTINEL), 0.25, 1.0) == 1.0
    assert shares.asked_share(Schedule.constant(1.0, Mode.SENTINEL), 0.25, 1.0) == 0.0
    assert shares.asked_share(Schedule.constant(0.9, Mode.SENTINEL), 0.25, 1.0) == pytest.approx(0.1)
    assert shares.asked_share(Schedule(), 0.25, 0.0) == 0.0


def test_phases_count_by_the_bytes_that_they_read():
    # Half of the ids at rate 0, a byte each; half at rate 1, four bytes each.
    schedule = Schedule(0.0, 0.0, 1.0, warmup=0.0, steady=0.5, decay=0.0)
    assert shares.asked_share(schedule, 0.25, 1.0) == pytest.approx(1 / 5)
    assert shares.asked_share(schedule, 0.25, 0.5) == pytest.approx(1.0)
    assert shares.asked_share(schedule, 0.25, 2.0) == pytest.approx(1 / 13)
