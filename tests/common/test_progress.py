"""Progress: a bar on a terminal, lines elsewhere."""

import io
import re

from megatron_proxy.common.progress import Progress


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
    assert re.search(r"105 documents, 0\.0 MB of UTF-8 \([\d,]+ documents/s, [\d.]+ MB/s\)", lines[0])


def test_a_bar_with_speed_and_remaining_time_on_a_terminal():
    stream = Terminal()
    with Progress("zstd view", 4_000_000, log_interval=1, stream=stream) as progress:
        progress.advance(documents=7, utf8_bytes=1_000_000)
        progress.advance(documents=7, utf8_bytes=500_000, position=1_000_000)
    bar = stream.getvalue().split("\r")[-1]
    assert re.search(r"zstd view:  50%\|.*\| 00:00<00:\d\d, 14 documents, 1\.5 MB of UTF-8 \(.* MB/s\)", bar)
    assert "zstd view: 14 documents" in progress.summary()
