"""What a run of the steps is given, and the sizes that differ between a GPU and a toy on the CPU."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Modules that tests and benchmarks share.
for folder in ("tests/helpers", "tests/bench"):
    if str(ROOT / folder) not in sys.path:
        sys.path.append(str(ROOT / folder))

from pretraining import Shape  # noqa: E402

BF16 = 2.0**-7
"""How far a run in bf16 may lie from another, relatively: two units of its last place."""

_LLAMA = "--position-embedding-type rope --normalization RMSNorm --swiglu --disable-bias-linear"
# Megatron's layers in plain torch: what every machine with a GPU can run, as neither Apex nor Transformer Engine is
# asked for.
PLAIN = (
    "--transformer-impl local --attention-backend unfused --no-gradient-accumulation-fusion --no-persist-layer-norm "
    "--no-masked-softmax-fusion --no-rope-fusion"
)
GRAPHS = "--cuda-graph-impl local"
FSDP = (
    "--use-megatron-fsdp --data-parallel-sharding-strategy optim_grads_params --use-distributed-optimizer "
    "--ckpt-format fsdp_dtensor"
)
FP8 = "--transformer-impl transformer_engine --fp8-format hybrid"
COMPLETE = "losses.json"
"""The last file that is made of the data: the CPU's losses."""
STEPS, SAVED = 20, 10
"""Iterations of the run whose losses are compared, and the one after which it is resumed."""


class Skipped(Exception):  # noqa: N818 - nothing is wrong
    """A step has nothing to do on this machine; says why."""


@dataclass(frozen=True)
class Speed:
    """A model whose steps are timed, in turns of some iterations: turns of each side, and of them those before."""

    name: str
    shape: Shape
    iterations: int
    turns: int
    warm_up: int


@dataclass(frozen=True)
class Settings:
    """Where a run reads and writes.

    Attributes
    ----------
    cpu
        Everything at toy size, on the CPU.
    data
        What ``make gpu-data`` made.
    work
        What a step leaves for later ones.
    """

    cpu: bool
    data: Path
    work: Path

    @property
    def device(self) -> str:
        """Torch's name of the device."""
        return "cpu" if self.cpu else "cuda"

    @property
    def prefix(self) -> Path:
        """The prepared data."""
        return self.data / "ours"

    def losses_flags(self) -> str:
        """The run whose losses are compared; all but the number format. Weights are drawn on the CPU everywhere."""
        size, length, batch = ("2 --hidden-size 32", 64, 4) if self.cpu else ("4 --hidden-size 256", 256, 8)
        return (
            f"--num-layers {size} --num-attention-heads 4 --seq-length {length} --max-position-embeddings {length} "
            f"--micro-batch-size 2 --global-batch-size {batch} --train-iters {STEPS} --lr 2e-3 "
            "--lr-decay-style constant --eval-iters 1 --eval-interval 1000 --log-interval 1 --split 95,5,0 "
            f"{_LLAMA} {PLAIN} "
            "--untie-embeddings-and-output-weights --hidden-dropout 0 --attention-dropout 0 --use-cpu-initialization "
            f"--seed 1 --data-path {self.prefix} --proxy-compression trie --proxy-format-embedding "
            # Both views in most iterations.
            "--proxy-initial-rate 0.5 --proxy-peak-rate 0.5 --proxy-mode translation_random"
        )

    def speed(self, *, large: bool) -> Speed:
        """The model that is timed."""
        if self.cpu:
            return Speed("toy", Shape(1, 32, 64, 2, 2), iterations=3, turns=2, warm_up=1)
        if large:
            return Speed("1B", Shape(16, 2048, 2048, 2, 4, heads=16), iterations=5, turns=5, warm_up=1)
        return Speed("125M", Shape(12, 768, 2048, 4, 4, heads=12), iterations=10, turns=8, warm_up=2)

    def placement_flags(self) -> str:
        """The run of about 25M parameters whose placements of views are compared."""
        size, length = ("2 --hidden-size 64", 64) if self.cpu else ("6 --hidden-size 512", 1024)
        batch, steps = (4, 4) if self.cpu else (32, 400)
        return (
            f"--num-layers {size} --num-attention-heads 8 --seq-length {length} --max-position-embeddings {length} "
            f"--micro-batch-size {batch} --global-batch-size {batch} --train-iters {steps} --lr 1e-3 --min-lr 1e-4 "
            f"--lr-decay-style cosine --eval-iters {1 if self.cpu else 16} --eval-interval {steps} --log-interval 20 "
            f"--split 95,5,0 {_LLAMA} {PLAIN} --bf16 --clip-grad 1.0 --weight-decay 0.1 "
            f"--data-path {self.prefix} --proxy-compression trie"
        )


def transformer_engine() -> bool:
    """Whether Transformer Engine is installed."""
    return importlib.util.find_spec("transformer_engine") is not None
