"""Megatron's own training loop, on the CPU, in processes of its own."""

import os
import re
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "examples" / "pretrain_gpt.py"

TINY = (
    "--num-layers 2 --hidden-size 32 --num-attention-heads 4 --seq-length 64 --max-position-embeddings 64 "
    "--micro-batch-size 2 --global-batch-size 4 --train-iters 4 --lr 1e-3 --lr-decay-style constant "
    "--eval-iters 1 --eval-interval 1000 --log-interval 1 --make-vocab-size-divisible-by 8"
)
MOCK = "--mock-data --tokenizer-type NullTokenizer --vocab-size 319 --split 90,5,5"
NO_DROPOUT = "--hidden-dropout 0 --attention-dropout 0"
LLAMA = (
    "--position-embedding-type rope --normalization RMSNorm --swiglu --untie-embeddings-and-output-weights "
    "--disable-bias-linear"
)


@dataclass(frozen=True)
class Run:
    """What a training run printed."""

    code: int
    log: str

    @property
    def losses(self) -> list[float]:
        """``lm loss`` of each logged iteration."""
        return [float(value) for value in re.findall(r"lm loss: ([0-9.E+-]+)", self.log)]

    @property
    def validation(self) -> list[float]:
        return [float(value) for value in re.findall(r"set \| lm loss value: ([0-9.E+-]+)", self.log)]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def train(
    *flags: str, processes: int = 1, script: Path = SCRIPT, path: Path | None = None, cwd: Path, code: int = 0
) -> Run:
    """Run ``script`` under the stand-in for CUDA; each of ``flags`` may hold several words.

    ``path`` is put before the installed packages (another Megatron). Fails if the run does not end with ``code``.
    """
    words = " ".join(flags).split()
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node", str(processes), "--master-port", str(free_port())]
    command = [sys.executable, *(launcher if processes > 1 else []), "-m", "megatron_proxy.adaptor.cpu"]
    # This checkout's package, whatever is installed.
    folders = os.pathsep.join(map(str, filter(None, [path, ROOT])))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": folders}
    done = subprocess.run(
        [*command, str(script), *words],
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        timeout=300,
        check=False,
    )
    run = Run(done.returncode, done.stdout)
    assert run.code == code, run.log[-4000:]
    return run
