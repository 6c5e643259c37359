"""Bytes alone, interleaved views and the paper's placement, at equal compute: as many ids of one model each."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from settings import Settings

# isort: split
import training
from harness import Row

from megatron_proxy.tools.report import training_log

PLACEMENTS = {
    "bytes alone": "--proxy-initial-rate 0 --proxy-peak-rate 0 --proxy-warmup-mode sentinel",
    "interleaved": "--proxy-mode interleaved",
    "the paper's": "",
}


def compared(settings: Settings) -> Iterator[Row]:
    """Raw bits per byte on held-out text after the same number of ids; side by side on a GPU, which has room."""

    def train(flags: str) -> training.Run:
        return training.train(settings.placement_flags(), flags, cwd=settings.work)

    with ThreadPoolExecutor(1 if settings.cpu else len(PLACEMENTS)) as pool:
        logs = [run.log for run in pool.map(train, PLACEMENTS.values())]
    bytes_alone = None
    for name, log in zip(PLACEMENTS, logs, strict=True):
        print(log, flush=True)
        found = training_log.parse(log.splitlines()).validation[-1].values["raw bpb"]
        bytes_alone = bytes_alone or found
        yield Row(f"raw bits per byte, {name}", found, "bpb", bytes_alone)
