"""Step time with the flag ÷ without, in Megatron's training loop on the CPU.

    python tests/bench/bench_step.py [--quick] [--pairs 60] [--layers 4] [--hidden 256] [--seq-length 256]

Two training processes of the same model, vocabulary and batch take their iterations in turn: one of ours, one of
stock's, so that a slow minute slows both. An iteration is all that the loop does, data (read in the process itself) and
log line included. Figures are processor time, one thread; the ratio is the median over pairs, the spread its quartiles.

Beside it stands what the flag costs in milliseconds per step and per micro-batch: of a larger model's longer step it is
a smaller share, as it grows with the ids of a step and not with the model. Most of it is the sums of each view
(``losses.view_sums``), whose own time for the step's micro-batches is the last row.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from harness import Row, report
from pretraining import SYMBOLS, Shape, Training, flags_of, write_data

from megatron_proxy.adaptor import losses
from megatron_proxy.vocab import COMPRESSED_CLOSE, COMPRESSED_OPEN

WARM_UP = 4


def measure(shape: Shape, pairs: int) -> dict[str, list[float]]:
    """``cpu_s`` and ``wall_s`` of ours and of stock, one value a pair."""
    with tempfile.TemporaryDirectory(prefix="bench-step-") as name:
        folder = Path(name)
        data = write_data(folder)
        sides = {
            side: Training([*shape.flags, *flags_of(side, data, folder / side)], folder) for side in ("ours", "stock")
        }
        parameters = {side: training.started["parameters"] for side, training in sides.items()}
        if parameters["ours"] != parameters["stock"]:
            raise SystemExit(f"these are different models: {parameters}")
        times: dict[str, list[float]] = {}
        for pair in range(WARM_UP + pairs):
            # Who goes first changes, as what one leaves in the caches is the other's to clear away.
            for side in list(sides)[:: 1 if pair % 2 else -1]:
                for kind, seconds in sides[side].step().items():
                    if pair >= WARM_UP:
                        times.setdefault(f"{side} {kind}", []).append(seconds)
        for training in sides.values():
            training.close()
    return times


def ratio(times: dict[str, list[float]], kind: str) -> tuple[float, float, float]:
    """First quartile, median and third of ours ÷ stock, pair by pair."""
    quartiles = np.percentile(np.divide(times[f"ours {kind}"], times[f"stock {kind}"]), [25, 50, 75])
    low, middle, high = quartiles.tolist()
    return low, middle, high


def sums_alone(shape: Shape) -> float:
    """Milliseconds of processor time that the sums of each view take for one step."""
    ids = torch.randint(64, 320 + SYMBOLS, (shape.micro_batch, shape.seq_length))
    ids[:, ::100], ids[:, 50::100] = COMPRESSED_OPEN, COMPRESSED_CLOSE
    nats, mask = torch.rand(ids.shape), torch.ones(ids.shape)
    source_bytes = torch.rand(320 + SYMBOLS, dtype=torch.float64)
    times = []
    for _ in range(50):
        begin = time.process_time()
        losses.view_sums(ids, nats, mask, source_bytes)
        times.append(time.process_time() - begin)
    return 1e3 * shape.micro_batches * float(np.median(times))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer pairs")
    parser.add_argument("--pairs", type=int, default=60)
    for name in ("layers", "hidden", "seq-length", "micro-batch", "micro-batches"):
        parser.add_argument(f"--{name}", type=int, default=getattr(Shape, name.replace("-", "_")))
    args = parser.parse_args()
    shape = Shape(args.layers, args.hidden, args.seq_length, args.micro_batch, args.micro_batches)
    times = measure(shape, 14 if args.quick else args.pairs)
    low, middle, high = ratio(times, "cpu_s")
    stock = float(np.median(times["stock cpu_s"]))
    # The fastest tenth: a difference this small drowns in what else the machine does.
    extra = 1e3 * float(np.percentile(times["ours cpu_s"], 10) - np.percentile(times["stock cpu_s"], 10))
    added = f"first deciles; {extra / shape.micro_batches:.2f} ms per micro-batch"
    wall = ratio(times, "wall_s")
    rows = [
        Row(
            "step time with the flag ÷ stock",
            middle * stock,
            "s",
            stock,
            "<= 1.01",
            f"processor time; quartiles {low:.3f} to {high:.3f}, wall {wall[1]:.3f}",
        ),
        Row("what the flag adds to a step", extra, "ms", note=added),
        Row("the sums of each view, of that step", sums_alone(shape), "ms"),
    ]
    report("step", rows, shape=vars(shape), times=times)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
