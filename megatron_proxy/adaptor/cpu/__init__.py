"""A stand-in for ``torch.cuda``: Megatron's own training loop on a machine without a GPU.

:func:`install` makes ``torch`` answer as if there were one CUDA device per process; the device is the CPU, and the
collectives are gloo's. It does nothing where a real GPU is found, and in a job of many processes it must be asked for
(see ``choice.py``). It must run before the first tensor is made on ``"cuda"``; whether ``megatron`` has been imported
by then does not matter.

Any Megatron script can be started under it, with or without this package's import line::

    python -m megatron_proxy.adaptor.cpu pretrain_gpt.py --mock-data --tokenizer-type NullTokenizer …
    torchrun --nproc-per-node 2 -m megatron_proxy.adaptor.cpu pretrain_gpt.py --tensor-model-parallel-size 2 …

=============  ======================================================================================
choice.py      whether a process without a GPU may run on the CPU
device.py      tensors asked for on ``"cuda"`` are made on the CPU (a ``TorchFunctionMode``)
cuda.py        what ``torch.cuda`` answers: devices, streams, events, memory, random generators
distributed.py ``nccl`` becomes ``gloo``; a process started without torchrun becomes a group of one
memory.py      freed memory is kept for the next tensor
defaults.py    flags that a CPU needs, put in as defaults where the user did not set them
__main__.py    the launcher
=============  ======================================================================================

What it does not cover: Transformer Engine, CUDA graphs, FP8, FSDP, asynchronous checkpoints, and random numbers drawn
into a weight that was made on ``"cuda"`` (``--use-cpu-initialization``, which is put in, makes them on the CPU).
"""

from __future__ import annotations

import os
import sys
import warnings
from typing import Any, Final

__all__ = ["install", "installed"]

_FOR_A_GPU: Final = (
    "Transformer Engine and Apex are not installed",
    "Apex is not installed",
    "Only transformer-engine",
)
"""How Megatron's warnings begin, some ten of them, that packages are missing which a CPU has no use for."""

_installed = False


def installed() -> bool:
    """Whether the stand-in is in force in this process."""
    return _installed


def install(*, asked: bool = False) -> bool:
    """Install the stand-in if there is no GPU; returns whether it is in force. Calling it again changes nothing.

    Parameters
    ----------
    asked
        Whether the CPU was asked for; if not, other processes of the job must have no GPU either.

    Raises
    ------
    ConfigurationError
        If they may have one.
    """
    global _installed
    if _installed:
        return True
    import torch

    if torch.cuda.is_available():
        return False
    from . import choice

    if not asked:
        choice.require_choice(os.environ, sys.argv[1:])
    _disable_dynamo()
    _silence()
    from . import cuda, defaults, device, distributed, memory

    memory.keep_freed()
    cuda.install()
    device.install()
    distributed.install()
    defaults.install()
    _installed = True
    if os.environ.get("RANK", "0") == "0":
        print(
            "megatron_proxy: no GPU found: Megatron runs on the CPU with gloo "
            f"({os.environ.get('WORLD_SIZE', '1')} process(es), {torch.get_num_threads()} thread(s) each)",
            flush=True,
        )
    return True


def _silence() -> None:
    """Here by a filter, in checkpoint writers, which are processes that import Megatron anew, by the variable."""
    given = os.environ.get("PYTHONWARNINGS")
    ignored = [f"ignore:{beginning}:UserWarning" for beginning in _FOR_A_GPU]
    os.environ["PYTHONWARNINGS"] = ",".join([given, *ignored] if given else ignored)
    for beginning in _FOR_A_GPU:
        warnings.filterwarnings("ignore", beginning, UserWarning)


def _disable_dynamo() -> None:
    """Megatron's fused functions must not be compiled, which on a CPU takes minutes; with a GPU they must be.

    The setting is there once torch._dynamo is loaded, the variable serves until then and in child processes.
    """
    os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
    config: Any = sys.modules.get("torch._dynamo.config")
    if config is not None:
        config.disable = True
