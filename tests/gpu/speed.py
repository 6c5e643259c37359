"""What the flag costs in a step: time, memory, waits of the host; beside stock, in two processes that take turns.

Both live at once, with the same model, vocabulary and batch. A turn is some iterations, the last of which writes a log
line, so that the sums behind the line are part of it; of each side's turns the median counts. In one more turn the
host's waits for the GPU are noted by the line of code that waits, with ``torch.cuda.set_sync_debug_mode``
(tests/helpers/waits.py; on a CPU by what torch is asked to do).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

from settings import PLAIN, Settings, Skipped, Speed, transformer_engine

# isort: split
import torch
from harness import Row
from pretraining import Training, flags_of

from megatron_proxy.tools.report import flops
from megatron_proxy.tools.report import settings as logged

Turns = dict[str, list[dict[str, Any]]]
"""What each side's process told of its turns."""
SIDES = ("ours", "stock")
_PEAK = {"H200": 989e12, "H100": 989e12, "GH200": 989e12, "B200": 2250e12, "A100": 312e12}
"""Dense bf16 operations a second that a GPU's maker tells of."""


def first(settings: Settings) -> Iterator[Row]:
    """The smaller shape."""
    return compared(settings, settings.speed(large=False))


def second(settings: Settings) -> Iterator[Row]:
    """The larger shape."""
    if settings.cpu:
        raise Skipped("on the CPU one shape is enough")
    return compared(settings, settings.speed(large=True))


def compared(settings: Settings, speed: Speed) -> Iterator[Row]:
    """Step time, throughput, memory, waits."""
    folder = settings.work / speed.name.replace(" ", "-")
    folder.mkdir()
    with ThreadPoolExecutor() as pool:
        started = pool.map(lambda side: _start(settings, speed, side, folder), SIDES)
        sides = dict(zip(SIDES, started, strict=True))
    parameters = {side: training.started["parameters"] for side, training in sides.items()}
    if parameters["ours"] != parameters["stock"]:
        raise ValueError(f"these are different models: {parameters}")
    turns: Turns = {side: [] for side in SIDES}
    for number in range(speed.warm_up + speed.turns):
        for side in SIDES[:: 1 if number % 2 else -1]:
            turn = sides[side].step()
            if number >= speed.warm_up:
                turns[side].append(turn)
    waits = {side: training.step(watched=True)["waits"] for side, training in sides.items()}
    log = sides["ours"].log()
    for training in sides.values():
        training.close()
    print(log, turns, waits, sep="\n")
    name = f"{speed.name} ({parameters['ours'] / 1e6:,.0f}M parameters)"
    yield from _times(settings, speed, name, turns, log)
    yield _memory(settings, name, turns)
    yield from _waits(name, waits)


def _start(settings: Settings, speed: Speed, side: str, folder: Path) -> Training:
    data = settings.data / "ours", settings.data / "stock_document"
    # Without Transformer Engine Megatron's layers are plain torch's on both sides.
    fused = not settings.cpu and transformer_engine()
    more = f"--log-interval {speed.iterations} --bf16 {'' if fused else PLAIN}".split()
    if side == "ours":
        # As with --save: a record of each line's figures.
        more += ["--proxy-metrics", str(folder / "metrics.jsonl")]
    flags = [*speed.shape.flags, *flags_of(side, data, folder / side), *more]
    return Training(flags, folder, iterations=speed.iterations)


def _times(settings: Settings, speed: Speed, name: str, turns: Turns, log: str) -> Iterator[Row]:
    seconds = {side: median(turn["wall_s"] for turn in turns[side]) / speed.iterations for side in SIDES}
    goal = None if settings.cpu else "<= 1.02"
    each = sorted(turn["wall_s"] / speed.iterations / seconds["stock"] for turn in turns["ours"])
    note = f"ours, turn by turn, {each[0]:.3f} to {each[-1]:.3f} of stock's median"
    yield Row(f"step time, {name}", 1e3 * seconds["ours"], "ms", 1e3 * seconds["stock"], goal, note)
    shape = speed.shape
    tokens = shape.seq_length * shape.micro_batch * shape.micro_batches
    rates = {side: tokens / seconds[side] for side in SIDES}
    yield Row(f"tokens a second, {name}", rates["ours"], "", rates["stock"])
    if (per_token := flops.per_token(logged.parse(log.splitlines()))) is None:
        raise ValueError("the log tells no shape of the model")
    yield _utilisation(settings, name, {side: per_token * rates[side] for side in SIDES})


def _utilisation(settings: Settings, name: str, rates: dict[str, float]) -> Row:
    """MFU; operations a second of a device whose peak is not known."""
    device = "the CPU" if settings.cpu else torch.cuda.get_device_name()
    peak = next((rate for known, rate in _PEAK.items() if known in device), None)
    if peak is None:
        return Row(f"throughput, {name}", rates["ours"] / 1e9, "GFLOP/s", rates["stock"] / 1e9, note=device)
    note = f"of {peak / 1e12:,.0f} TFLOP/s, {device}"
    return Row(f"MFU, {name}", rates["ours"] / peak, "", rates["stock"] / peak, note=note)


def _memory(settings: Settings, name: str, turns: Turns) -> Row:
    most = {side: max(turn["peak_bytes"] for turn in turns[side]) / 2**30 for side in SIDES}
    kind = "resident memory" if settings.cpu else "memory on the GPU"
    return Row(f"{kind}, {name}", most["ours"], "GiB", most["stock"], None if settings.cpu else "<= 1.02")


def _waits(name: str, waits: dict[str, list[dict[str, int]]]) -> Iterator[Row]:
    """The last iteration of a turn writes a line, and the rank that writes it waits for the line and for its record."""
    for which, part, goal in (("without a line", slice(-1), "<= 0"), ("with a line", slice(-1, None), "<= 2")):
        ours, stock = (sum(map(Counter, waits[side][part]), Counter()) for side in SIDES)
        # By place: one that is gone does not make up for one that has come.
        more = ours - stock
        note = ", ".join([f"stock {stock.total()}", *more])
        yield Row(f"waits of iterations {which}, beyond stock's, {name}", more.total(), "", goal=goal, note=note)
