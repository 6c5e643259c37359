"""Where the training of a byte LM stands, and its file: safetensors, written beside the old one and renamed."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ...common.storage.files import appearing
from ...errors import CompressorError
from .network import ByteLM


@dataclass
class State:
    """Where a training stands; all of it is in the checkpoint."""

    model: ByteLM
    optimizer: torch.optim.Adam
    step: int = 0
    best_loss: float = math.inf
    misses: int = 0
    best: dict[str, Tensor] = field(default_factory=dict)

    def evaluated(self, loss: float) -> None:
        """Take note of a held-out loss."""
        if loss < self.best_loss:
            self.best_loss, self.misses = loss, 0
            self.best = {name: value.detach().cpu().clone() for name, value in self.model.state_dict().items()}
        else:
            self.misses += 1

    def save(self, path: Path, identity: str) -> None:
        """Write a checkpoint beside ``path`` and rename it."""
        progress = {"step": self.step, "best_loss": self.best_loss, "misses": self.misses}
        try:
            with appearing(path) as beside:
                save_file(self._tensors(), beside, {"identity": identity, "progress": json.dumps(progress)})
        except (SafetensorError, OSError) as error:
            raise CompressorError(f"the checkpoint cannot be written ({error})", where=str(path)) from error

    def restore(self, path: Path, identity: str) -> None:
        """Go back to where the training of a checkpoint stood."""
        try:
            with safe_open(path, "pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        except (SafetensorError, OSError) as error:
            raise CompressorError(
                f"the checkpoint cannot be read ({error})", where=str(path), fix="remove it"
            ) from error
        if metadata.get("identity") != identity:
            raise CompressorError(
                "this is the checkpoint of a training with other settings or another corpus",
                where=str(path),
                fix="remove it, or name another file",
            )
        parts: dict[str, dict[str, Any]] = {"model": {}, "best": {}, "adam": {}}
        for name, value in tensors.items():
            kind, _, rest = name.partition("/")
            parts[kind][rest] = value
        self.model.load_state_dict(parts["model"])
        self.best = parts["best"]
        optimizer = self.optimizer.state_dict()
        slots: dict[int, dict[str, Tensor]] = {}
        for name, value in parts["adam"].items():
            number, _, slot = name.partition("/")
            slots.setdefault(int(number), {})[slot] = value
        self.optimizer.load_state_dict(optimizer | {"state": slots})
        for name, value in json.loads(metadata["progress"]).items():
            setattr(self, name, value)

    def _tensors(self) -> dict[str, Tensor]:
        """Everything of a training that is a tensor, by name."""
        tensors = {f"model/{name}": value for name, value in self.model.state_dict().items()}
        tensors |= {f"best/{name}": value for name, value in self.best.items()}
        for number, slots in self.optimizer.state_dict()["state"].items():
            tensors |= {f"adam/{number}/{name}": value for name, value in slots.items()}
        return {name: value.detach().cpu().contiguous() for name, value in tensors.items()}


def identity_of(settings: dict[str, Any], *arrays: NDArray[Any]) -> str:
    """What a checkpoint belongs to (SHA-256, hex): the settings, and what is learnt from."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
