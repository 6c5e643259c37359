"""What the flag adds to a micro-batch in kernels and collectives, counted on tensors that claim to be on a GPU.

    python tests/bench/count_kernels.py

A kernel is an operation of torch that is neither a view nor an allocation (tests/helpers/on_gpu.py); no GPU is needed.
Rows are a rank of the last pipeline stage, which sums the losses of each view, and one of the first, which adds the
format embedding's vectors; what the script launches without the flag is taken off. "Every step" is with TensorBoard at
its default interval, "every 100" with log lines alone.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1] / "helpers"))

import numpy as np
import torch
from on_gpu import Watch, a_rank_of, on_gpu

from megatron_proxy.adaptor import embedding, run
from megatron_proxy.adaptor.arguments import Settings
from megatron_proxy.adaptor.measures import context, formats, reporting
from megatron_proxy.data.sampling.schedule import Schedule
from megatron_proxy.vocab import SYMBOL_OFFSET

LENGTH, IDS = 64, SYMBOL_OFFSET + 4


class Model(torch.nn.Module):
    """Gives back the losses it is given."""

    def forward(self, nats: Any, labels: Any = None, loss_mask: Any = None) -> Any:
        return nats


def forward_step(batches: Iterator[Any], model: Any) -> Any:
    labels, nats, mask = next(batches)
    return model(nats, labels=labels, loss_mask=mask), lambda output: (output, {"lm loss": output})


def of_sums(gpu: Watch, micro_batches: int, steps: int, log_interval: int) -> None:
    """Steps on a rank of the last stage, but not the one that writes."""
    args = argparse.Namespace(
        seq_length=LENGTH, log_interval=log_interval, consumed_train_samples=0, tensorboard_dir=None, wandb_project=None
    )
    with gpu.unwatched():
        labels = torch.zeros(1, LENGTH // context.ranks(), dtype=torch.int64, device="cuda")
        batch = labels, torch.zeros_like(labels, dtype=torch.float32), torch.ones_like(labels, dtype=torch.float32)
        report = reporting.Report(run.Run(args, Settings("trie", Schedule(), 100), [], None, np.ones(IDS)))  # type: ignore[arg-type]
    for iteration in range(1, steps + 1):
        report.meter.begin_pass(0)
        for _ in range(micro_batches):
            output, loss_func = report.meter.measuring(forward_step)(iter([batch]), Model())
            loss_func(output)
        report.training_step(iteration, skipped=False, first=False)


def of_formats(gpu: Watch, backward: bool, beheaded: bool) -> None:
    """The format embedding's part of a micro-batch."""
    with gpu.unwatched():
        ids = torch.zeros(1, LENGTH // context.ranks(), dtype=torch.int64, device="cuda")
        weight = torch.zeros(embedding.FORMATS, 8, dtype=torch.bfloat16, device="cuda")
        gradient = torch.zeros(*ids.shape, 8, dtype=torch.bfloat16, device="cuda")
    if backward:
        saved = argparse.Namespace(saved_tensors=(ids,), formats=embedding.FORMATS)
        embedding._Vectors.backward(saved, gradient)
    else:
        told = context.whole_windows(lambda whole: formats.opened_format(whole, beheaded=beheaded), ids)
        _ = gradient + torch.nn.functional.embedding(told, weight)


def count(ranks: int, what: Callable[..., None], *args: Any) -> tuple[int, int]:
    """Kernels and collectives of a rank that does not write the logs: the first of two data-parallel ones."""
    with a_rank_of(2 * ranks, rank=0, context_parallel_size=ranks), on_gpu() as gpu:
        what(gpu, *args)
        return len(gpu.kernels), len(gpu.collectives)


def main() -> None:
    print("| rank | context parallel | micro-batches a step | kernels | collectives |\n| --- | --- | --- | --- | --- |")
    for log_interval, when in ((1, "every step"), (100, "every 100")):
        for ranks in (1, 2):
            for micro_batches in (1, 8, 64) if log_interval == 1 else (1,):
                steps = log_interval
                found = count(ranks, of_sums, micro_batches, steps, log_interval)
                kernels, collectives = (one / (steps * micro_batches) for one in found)
                print(f"| last, {when} | {ranks} | {micro_batches} | {kernels:.1f} | {collectives:.3f} |")
    for beheaded, name in ((False, "first, forward"), (True, "the same with multi-token prediction, per call")):
        for ranks in (1, 2):
            kernels, collectives = count(ranks, of_formats, False, beheaded)
            print(f"| {name} | {ranks} | any | {kernels} | {collectives} |")
    print(f"| first, backward | any | any | {count(1, of_formats, True, False)[0]} | 0 |")


if __name__ == "__main__":
    main()
