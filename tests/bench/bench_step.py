"""Step time with the flag ÷ without, in Megatron's training loop on the CPU.

    python tests/bench/bench_step.py [--quick] [--rounds 5] [--pairs 20] [--layers 4] [--hidden 256] [--seq-length 256]

Two training processes of the same model, vocabulary and batch take their iterations in turn: one of ours, one of
stock's, so that a slow minute slows both. An iteration is all that the loop does, data (read in the process itself) and
log line included. Figures are processor time, one thread.

What else the machine does only ever makes an iteration longer, so each side counts with its first quartile. Two
processes of one program differ for as long as they live: so there are several rounds, each of two new ones. The ratio
is the median of the rounds, the spread its lowest and highest.

Beside it stands what the flag costs in milliseconds per step and per micro-batch: of a larger model's longer step it is
a smaller share, as it grows with the ids of a step and not with the model. Most of it is the sums of each view
(``losses.view_sums``), whose own time for the step's micro-batches, taken together, is the last row.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from harness import Row, report
from numpy.typing import NDArray
from pretraining import SYMBOLS, Shape, Training, flags_of, write_data

from megatron_proxy.adaptor.measures import losses
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


def first_quartiles(rounds: list[dict[str, list[float]]], which: str) -> NDArray[np.float64]:
    """Seconds of an iteration in each round; ``which`` is a key such as ``"ours cpu_s"``."""
    return np.array([np.percentile(times[which], 25) for times in rounds])


def ratios(rounds: list[dict[str, list[float]]], kind: str) -> NDArray[np.float64]:
    """ours ÷ stock of each round, sorted."""
    return np.sort(first_quartiles(rounds, f"ours {kind}") / first_quartiles(rounds, f"stock {kind}"))


def sums_alone(shape: Shape) -> float:
    """Milliseconds of processor time that the sums of each view take for one step."""
    ids = torch.randint(64, 320 + SYMBOLS, (shape.micro_batches * shape.micro_batch, shape.seq_length))
    ids[:, ::100], ids[:, 50::100] = COMPRESSED_OPEN, COMPRESSED_CLOSE
    nats, mask = torch.rand(ids.shape), torch.ones(ids.shape)
    source_bytes = torch.rand(320 + SYMBOLS, dtype=torch.float64)
    times = []
    for _ in range(50):
        begin = time.process_time()
        losses.view_sums(ids, nats, mask, source_bytes)
        times.append(time.process_time() - begin)
    return 1e3 * float(np.median(times))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round, fewer pairs")
    parser.add_argument("--rounds", type=int, default=5, help="how often both processes are started")
    parser.add_argument("--pairs", type=int, default=20, help="iterations of each side in a round")
    for name in ("layers", "hidden", "seq-length", "micro-batch", "micro-batches"):
        parser.add_argument(f"--{name}", type=int, default=getattr(Shape, name.replace("-", "_")))
    args = parser.parse_args()
    shape = Shape(args.layers, args.hidden, args.seq_length, args.micro_batch, args.micro_batches)
    rounds = [measure(shape, 14 if args.quick else args.pairs) for _ in range(1 if args.quick else args.rounds)]
    found, wall = ratios(rounds, "cpu_s"), ratios(rounds, "wall_s")
    stock = float(np.median(first_quartiles(rounds, "stock cpu_s")))
    middle = float(np.median(found))
    spread = f"processor time; rounds {found[0]:.3f} to {found[-1]:.3f}, wall {np.median(wall):.3f}"
    extra = 1e3 * (middle - 1) * stock
    rows = [
        Row("step time with the flag ÷ stock", middle * stock, "s", stock, "<= 1.01", spread),
        Row("what the flag adds to a step", extra, "ms", note=f"{extra / shape.micro_batches:.2f} ms per micro-batch"),
        Row("the sums of each view, of that step", sums_alone(shape), "ms"),
    ]
    report("step", rows, shape=vars(shape), times=rounds)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
