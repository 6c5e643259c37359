"""Twenty iterations in bf16 beside those of the CPU in float32, and beside those under other ways of running them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from settings import BF16, COMPLETE, FP8, FSDP, GRAPHS, SAVED, Settings, Skipped, transformer_engine

# isort: split
import training
from harness import Row

from megatron_proxy.tools.report import training_log

Series = list[dict[str, float]]
"""The compared figures of each iteration."""
COMPARED = ("lm loss", "raw bpb", "compressed bpb")


def run(settings: Settings, *flags: str) -> Series:
    """What a run of the losses' model printed for each iteration."""
    done = training.train(settings.losses_flags(), *flags, cwd=settings.work)
    print(done.log, flush=True)
    return series_of(done.log)


def series_of(log: str) -> Series:
    """The compared figures of a log's training lines."""
    entries = training_log.parse(log.splitlines()).training
    return [{name: entry.values[name] for name in COMPARED if name in entry.values} for entry in entries]


def furthest(found: Series, expected: Series) -> float:
    """The largest relative difference between any two figures.

    Raises
    ------
    ValueError
        If these are not the same figures of as many iterations.
    """
    if not expected or [set(one) for one in found] != [set(one) for one in expected]:
        raise ValueError(f"these are not figures of the same iterations: {found} and {expected}")
    pairs = zip(found, expected, strict=True)
    return max(abs(one[name] - other[name]) / abs(other[name]) for one, other in pairs for name in other)


def row(name: str, found: Series, expected: Series, goal: float) -> Row:
    """How far apart two runs are."""
    note = f"lm loss {found[0]['lm loss']:.4f} to {found[-1]['lm loss']:.4f}, {len(found)} iterations"
    return Row(name, furthest(found, expected), "relative", goal=f"<= {goal:.4g}", note=note)


def read(path: Path) -> Series:
    """Figures that were kept."""
    series: Series = json.loads(path.read_text())
    return series


def against_the_cpu(settings: Settings) -> Iterator[Row]:
    """Twenty iterations; saved after ten and at the end, for the steps that go on from there."""
    found = run(settings, f"--bf16 --save {settings.work / 'checkpoint'} --save-interval {SAVED}")
    (settings.work / "losses-bf16.json").write_text(json.dumps(found))
    yield row("losses in bf16, from the CPU's in float32", found, read(settings.data / COMPLETE), BF16)


def _the_same(settings: Settings, what: str, *flags: str, goal: float = BF16) -> Iterator[Row]:
    """The first iterations again, otherwise: on the CPU without what it has not."""
    given = () if settings.cpu else flags
    found = run(settings, f"--bf16 --exit-interval {SAVED}", *given)
    expected = read(settings.work / "losses-bf16.json")[:SAVED]
    yield row(f"losses with {what}, from those without{' (on the CPU: without)' * settings.cpu}", found, expected, goal)


def with_graphs(settings: Settings) -> Iterator[Row]:
    """CUDA graphs of each layer, which the hooks around the model must not disturb."""
    return _the_same(settings, GRAPHS, GRAPHS)


def with_fsdp(settings: Settings) -> Iterator[Row]:
    """Megatron's FSDP, which makes other classes of the model's modules."""
    return _the_same(settings, "--use-megatron-fsdp", FSDP)


def in_fp8(settings: Settings) -> Iterator[Row]:
    """Transformer Engine's layers in FP8, whose weights are drawn by itself: the losses only look alike."""
    if settings.cpu:
        raise Skipped("Transformer Engine needs a GPU")
    if not transformer_engine():
        raise Skipped("Transformer Engine is not installed")
    return _the_same(settings, "Transformer Engine in FP8", FP8, goal=0.1)
