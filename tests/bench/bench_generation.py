"""Writing with and without the cache, in one run: seconds, bytes per second, and the ratio.

    python tests/bench/bench_generation.py [--quick] [--bytes 512]

A small model of random weights answers 20 prompts, first with the cache, then without; both must write the same bytes.
Also told is the time per byte of the first and of the last quarter with the cache: it must not grow with what has been
read, beyond attention. Times are of the processor, one thread, so that other work on the same cores does not count.
With --layers and --hidden the model can be made larger, which is slow without the cache.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "helpers"))

import random_model
import torch
from harness import Row, report

from megatron_proxy.model.generation import Limits, generate, stream
from megatron_proxy.model.network import ByteModel
from megatron_proxy.model.network.architecture import Rope
from megatron_proxy.vocab import EOS, RAW_CLOSE


class Endless(random_model.RandomTensors):
    """Weights of a model that never ends a text."""

    def read(self, name: str) -> torch.Tensor:
        tensor = super().read(name)
        if name == "output_layer.weight":
            tensor[[EOS, RAW_CLOSE]] = 0.0
        return tensor


def writing(model: ByteModel, prompts: list[bytes], limits: Limits) -> tuple[dict[str, float], int]:
    """Bytes per second with the cache and without, and how many bytes both wrote, which must be the same."""
    speeds, written = {}, {}
    for name, use_cache in (("with", True), ("without", False)):
        begin = time.process_time()
        written[name] = generate(model, prompts, limits, use_cache=use_cache)
        seconds = time.process_time() - begin
        speeds[name] = sum(len(done.text) for done in written[name]) / seconds
    if written["with"] != written["without"]:
        raise SystemExit("with the cache other bytes are written than without")
    return speeds, sum(len(done.text) for done in written["with"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="96 bytes")
    parser.add_argument("--bytes", type=int, default=512)
    parser.add_argument("--prompts", type=int, default=20)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--hidden", type=int, default=64)
    args = parser.parse_args()
    length = 96 if args.quick else args.bytes
    shape = replace(
        random_model.LLAMA,
        layers=args.layers,
        hidden=args.hidden,
        heads=4,
        groups=2,
        head_dim=args.hidden // 4,
        ffn=args.hidden * 5 // 2,
        context=length + 64,
        rope=Rope(args.hidden // 4, 10000.0),
    )
    model = ByteModel(shape, Endless(random_model.tensors(shape).shapes, scale=0.08))
    prompts = [f"def function_{number}(".encode() for number in range(args.prompts)]
    limits = Limits(max_bytes=length, valid_utf8=False)
    generate(model, prompts[:1], Limits(max_bytes=8))
    speeds, total = writing(model, prompts, limits)
    begin = time.process_time()
    times = [begin, *(time.process_time() for _ in stream(model, prompts[:1], limits))]
    quarter = max(1, len(times) // 4)
    first, last = (times[quarter] - times[0]) / quarter, (times[-1] - times[-1 - quarter]) / quarter
    # What the cache saves grows with the length.
    goal = ">= 5" if length >= 512 else ">= 1"
    note = f"{args.prompts} prompts, {total:,} bytes, the same ones"
    rows = [
        Row("writing with the cache ÷ without", speeds["with"], "bytes/s", speeds["without"], goal, note),
        Row("one prompt, last quarter ÷ first", last * 1e3, "ms/byte", first * 1e3),
    ]
    report("generation", rows, shape={"layers": args.layers, "hidden": args.hidden, "bytes": length})


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
