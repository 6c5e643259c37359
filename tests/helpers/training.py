"""Megatron's own training loop, on the CPU, in processes of its own."""

import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import forking
import torch

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "examples" / "pretrain_gpt.py"

# Of a run this short, processes of its own for each data set are a fifth: tests/adaptor/test_training.py has them.
TINY = (
    "--num-layers 2 --hidden-size 32 --num-attention-heads 4 --seq-length 64 --max-position-embeddings 64 "
    "--micro-batch-size 2 --global-batch-size 4 --train-iters 4 --lr 1e-3 --lr-decay-style constant "
    "--eval-iters 1 --eval-interval 1000 --log-interval 1 --make-vocab-size-divisible-by 8 --num-workers 0"
)
MOCK = "--mock-data --tokenizer-type NullTokenizer --vocab-size 319 --split 90,5,5"
NO_DROPOUT = "--hidden-dropout 0 --attention-dropout 0"
LLAMA = (
    "--position-embedding-type rope --normalization RMSNorm --swiglu --untie-embeddings-and-output-weights "
    "--disable-bias-linear"
)
SECONDS = 300
LAUNCHER = "megatron_proxy.adaptor.cpu"
LOADED = ["megatron.training", "megatron.core.tokenizers.text", "numba", "numba.np.arraymath", "scipy.linalg"]
"""What all runs import, and what takes long to import; nothing of this project."""

_forker: forking.Forker | None = None


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


def train(
    *flags: str,
    processes: int = 1,
    script: Path = SCRIPT,
    path: Path | str | None = None,
    cwd: Path,
    code: int = 0,
    anew: bool = False,
) -> Run:
    """Run ``script`` under the stand-in for CUDA, see :func:`python`; each of ``flags`` may hold several words."""
    words = ["-m", LAUNCHER, str(script), *" ".join(flags).split()]
    return python(*words, processes=processes, path=path, cwd=cwd, code=code, anew=anew)


def python(
    *words: str,
    processes: int = 1,
    path: Path | str | None = None,
    cwd: Path | str = ".",
    code: int | None = 0,
    anew: bool = False,
    **environment: str,
) -> Run:
    """Run Python, with what is added to the environment: the words are ``-m MODULE ARGS…`` or ``-c CODE ARGS…``.

    Fails if the run does not end with ``code``; None: it may end with any.
    The processes are forked from one that has Megatron loaded (tests/helpers/forking.py), unless they shall start
    ``anew``, as users start them; several are ranks of torchrun. ``path`` is put before the installed packages: another
    Megatron, by default the one that MEGATRON_CORE names (a folder of ``pip install --target``).
    """
    start = _start_anew if anew or not _can_fork() else _fork
    variables = {**_environment(path), **environment}
    with tempfile.NamedTemporaryFile() as log:
        request = forking.Request(list(words), processes, str(Path(cwd).absolute()), variables, log.name, SECONDS)
        run = Run(start(request), Path(log.name).read_text(encoding="utf-8", errors="replace"))
    assert code in (None, run.code), run.log[-4000:]
    return run


def _environment(path: Path | str | None = None) -> dict[str, str]:
    """Variables of a run: this checkout's package is found, whatever is installed, after what is in ``path``."""
    folders = os.pathsep.join(map(str, filter(None, [path or os.environ.get("MEGATRON_CORE"), ROOT])))
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": folders}


def _start_anew(request: forking.Request) -> int:
    # The store's port is the system's choice.
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(request.ranks)]
    command = [sys.executable, *(torchrun if request.ranks > 1 else []), *request.words]
    with open(request.log, "ab") as log:
        done = subprocess.run(
            command,
            cwd=request.folder,
            env=request.environment,
            stdout=log,
            stderr=log,
            timeout=request.seconds,
            check=False,
        )
    return done.returncode


def _can_fork() -> bool:
    """A GPU that a forked process has from its parent does not work."""
    return sys.platform == "linux" and not torch.cuda.is_available()


def _fork(request: forking.Request) -> int:
    return _forker_for(request.environment).run(request)


def _forker_for(environment: dict[str, str]) -> forking.Forker:
    global _forker
    if _forker is None or _forker.path != environment["PYTHONPATH"]:
        close()
        _forker = forking.Forker(LOADED, environment)
    return _forker


def load() -> None:
    """Start the process that forks, if it can fork: the forked children of this one then have it together."""
    if _can_fork():
        _forker_for(_environment())


def close(*, midway: bool = False) -> None:
    """End the process that forks; ``midway``: with the run that it is at."""
    global _forker
    if _forker is not None:
        if midway:
            _forker.kill()
        else:
            _forker.close()
        _forker = None
