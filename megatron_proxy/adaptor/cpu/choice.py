"""Whether a process without a GPU may run on the CPU.

In a job of many processes one node may have lost its GPUs (a broken driver, a container started without them). If its
ranks took the CPU and gloo, all others would wait for them with NCCL until they time out. So the CPU stands in where it
was asked for, and where no other process can have a GPU: in a job that is alone, or whose processes are all on this
machine, which has none.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

from ...errors import ConfigurationError

VARIABLE: Final = "MEGATRON_PROXY_CPU"
"""Set to 1, it asks for the CPU."""

_BACKEND: Final = "--distributed-backend"
# Of NVIDIA's driver, and of AMD's.
_DEVICES: Final = ("dev/nvidia[0-9]*", "dev/kfd")


def require_choice(environ: Mapping[str, str], argv: Sequence[str], root: Path = Path("/")) -> None:
    """Refuse to fall back to the CPU where other ranks may have a GPU; ``root`` is the folder that has ``dev``.

    Raises
    ------
    ConfigurationError
        With this host and rank.
    """
    size = int(environ.get("WORLD_SIZE", "1"))
    words = [part for word in argv for part in word.split("=", 1)]
    asked_for = environ.get(VARIABLE) == "1" or (_BACKEND, "gloo") in pairwise(words)
    # The launcher has started all processes on this machine; it may have a GPU that this one does not see.
    all_here = environ.get("LOCAL_WORLD_SIZE") == str(size)
    if size == 1 or asked_for or (all_here and not any(any(root.glob(pattern)) for pattern in _DEVICES)):
        return
    raise ConfigurationError(
        f"rank {environ.get('RANK', '?')} of {size} on {socket.gethostname()} sees no GPU, and the other ranks may "
        "have one",
        fix=f"mend this node, or leave it out; to train on CPUs, set {VARIABLE}=1 for all ranks",
    )
