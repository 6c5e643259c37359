"""Progress: a bar on a terminal, lines elsewhere."""

import io
import re

import pytest

from megatron_proxy.common.progress import Progress, Steps


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_line_each_time_the_interval_is_passed():
    stream = io.StringIO()
    with Progress("raw view", 10**6, log_interval=100, stream=stream) as progress:
        for _ in range(10):
            progress.advance(documents=35, utf8_bytes=1000)
    lines = stream.getvalue().splitlines()
    assert [line.split(" documents")[0] for line in lines] == ["raw view: 105", "raw view: 210", "raw view: 315"]
    assert re.search(r"105 documents, 0\.0 MB \([\d,]+ documents/s, [\d.]+ MB/s\)", lines[0])


def test_a_bar_with_speed_and_remaining_time_on_a_terminal():
    stream = Terminal()
    with Progress("zstd view", 4_000_000, log_interval=1, stream=stream) as progress:
        progress.advance(documents=7, utf8_bytes=1_000_000)
        progress.advance(documents=7, utf8_bytes=500_000, position=1_000_000)
    bar = stream.getvalue().split("\r")[-1]
    assert re.search(r"zstd view:  50%\|.*\| 00:00<00:\d\d, 14 documents, 1\.5 MB \(.* MB/s\)", bar)


def test_steps_on_a_terminal():
    stream = Terminal()
    with Steps("training", 200, "steps", stream=stream) as steps:
        steps.advance(50)
        steps.reach(150, "lm loss 3.210")
    bar = stream.getvalue().split("\r")[-1]
    assert re.search(r"training:  75%\|.*\| 00:00<00:\d\d, 150 of 200 steps, lm loss 3\.210", bar)


def test_steps_elsewhere_are_lines_or_nothing(monkeypatch):
    now = iter([0.0, 30.0, 89.0, 90.0])
    monkeypatch.setattr("time.monotonic", lambda: next(now))
    stream = io.StringIO()
    with Steps("training", 400, "steps", log_interval=100, stream=stream) as steps:
        for done in (50, 100, 150, 299, 300):
            steps.reach(done, f"lm loss {done}")
    assert stream.getvalue() == (
        "training: 100 of 400 steps, lm loss 100, 1:30 left\ntraining: 299 of 400 steps, lm loss 299, 0:30 left\n"
        "training: 300 of 400 steps, lm loss 300, 0:30 left\n"
    )


@pytest.mark.parametrize(("stream", "options"), [(io.StringIO(), {}), (Terminal(), {"shown": False})])
def test_steps_may_be_silent(stream, options):
    with Steps("evaluating", 10, "bytes", stream=stream, **options) as steps:
        steps.advance(10)
    assert stream.getvalue() == ""
