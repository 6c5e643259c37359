"""Reading a trained Megatron checkpoint in one process, whatever parallel layout it was saved with.

Neither a model nor process groups are needed: tensors are read one by one, by Megatron's global names, which are the
same for every tensor- and pipeline-parallel size. So a checkpoint may be larger than memory, as long as its largest
tensor is not.

A checkpoint is a file from somewhere else. Its pickled parts are loaded under an allow-list, which holds what Megatron
itself registers as safe (``megatron.core.safe_globals``) and, for torch's index of a ``torch_dist`` checkpoint, torch's
own record types.

============  ========================================================================
format        files
============  ========================================================================
torch_dist    ``iter_0000100/{.metadata, metadata.json, __*_*.distcp}``
torch         ``iter_0000100/mp_rank_TT[_PPP]/model_optim_rng.pt``
============  ========================================================================
"""

from __future__ import annotations

import argparse
import contextlib
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import torch
from torch import Tensor

from ...errors import CheckpointError
from ...vocab import SYMBOL_OFFSET
from . import legacy, torch_dist
from .legacy import LegacyTensors
from .torch_dist import TorchDistTensors

__all__ = ["Checkpoint", "Tensors", "open_checkpoint", "read_common"]

_TRACKER: Final = "latest_checkpointed_iteration.txt"


class Tensors(Protocol):
    """The weights of a model, whole, by name.

    Names are those of ``GPTModel.state_dict()`` in one process with Transformer Engine's layers, such as
    ``decoder.layers.0.self_attention.linear_qkv.layer_norm_weight``: both implementations of Megatron save under them.
    """

    shapes: dict[str, tuple[int, ...]]

    def read(self, name: str) -> Tensor:
        """One whole tensor on the CPU, in the dtype that it was saved in."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint's place, training arguments and weights.

    Parameters
    ----------
    folder
        The folder of this iteration.
    iteration
        Training iterations behind it; None for a release.
    args
        The arguments that Megatron was run with.
    tensors
        The weights.
    """

    folder: Path
    iteration: int | None
    args: argparse.Namespace
    tensors: Tensors

    @property
    def sentinels(self) -> bool:
        """Whether raw views stood between sentinels at the end of training."""
        mode = getattr(self.args, "proxy_final_mode", None) or getattr(self.args, "proxy_mode", None)
        return str(getattr(mode, "value", mode)) != "vanilla"

    @property
    def dtype(self) -> torch.dtype:
        """In what the weights are stored."""
        return self.tensors.read("decoder.final_layernorm.weight").dtype


def open_checkpoint(path: str | Path, iteration: int | None = None) -> Checkpoint:
    """Open the latest (or the given) iteration of a checkpoint folder, or the folder of one iteration.

    Raises
    ------
    CheckpointError
        If it is missing, half-written, in another format, or was not trained with ``--proxy-compression``.
    """
    folder, found = _folder_of(Path(path), iteration)
    opened = (TorchDistTensors if torch_dist.is_one(folder) else LegacyTensors)(folder)
    _check_proxy(opened.args, folder)
    return Checkpoint(folder, found, opened.args, opened)


def read_common(path: str | Path, iteration: int | None = None) -> dict[str, Any] | None:
    """What the latest (or the given) iteration of a checkpoint folder holds beside tensors, before anything is built.

    None where there is no checkpoint yet, or one that is not read here: it is Megatron's to load, or to refuse.

    Raises
    ------
    CheckpointError
        An iteration that is not there.
    """
    if iteration is None and not (Path(path) / _TRACKER).is_file():
        return None
    folder, _ = _iteration_of(Path(path), iteration)
    with contextlib.suppress(CheckpointError):
        if torch_dist.is_one(folder) or legacy.is_one(folder):
            common = (torch_dist if torch_dist.is_one(folder) else legacy).read_common(folder)
            return common if isinstance(common, dict) else None
    return None


def _folder_of(path: Path, iteration: int | None) -> tuple[Path, int | None]:
    """The folder of one iteration in a format that is read here, and which iteration that is."""
    if not path.is_dir():
        raise CheckpointError(
            "there is no such checkpoint folder", where=str(path), fix="give the folder that --save named in training"
        )
    tracker = path / _TRACKER
    if iteration is None and not tracker.exists():
        if torch_dist.is_one(path) or legacy.is_one(path):
            match = re.fullmatch(r"iter_(\d+)", path.name)
            return path, int(match[1]) if match else None
        if (path / "config.json").is_file():
            raise CheckpointError(
                "this is a Hugging Face folder, as `megatron-proxy export` writes them, and no checkpoint",
                where=str(path),
                fix=f"load it with transformers: AutoModelForCausalLM.from_pretrained({str(path)!r}), AutoTokenizer "
                f"likewise; or make a checkpoint of it again: megatron-proxy import --load {shlex.quote(str(path))}",
            )
        raise CheckpointError(
            f"this is no checkpoint: it holds neither {_TRACKER} nor a model",
            where=str(path),
            fix="give the folder that --save named in training, or one of its iter_… folders",
        )
    folder, found = _iteration_of(path, iteration)
    if not (torch_dist.is_one(folder) or legacy.is_one(folder)):
        raise CheckpointError(
            "the checkpoint is half-written, or in a format that is not read here (torch_dist and torch are)",
            where=str(folder),
            fix="choose another iteration with --iteration, or convert it with Megatron's tools/checkpoint",
        )
    return folder, found


def _iteration_of(path: Path, iteration: int | None) -> tuple[Path, int | None]:
    """The folder of the given iteration, or of the one that the tracker names."""
    latest = str(iteration) if iteration is not None else (path / _TRACKER).read_text(encoding="utf-8").strip()
    name = f"iter_{int(latest):07d}" if latest.isdecimal() else latest
    folder = path / name
    if name not in ("release", f"iter_{latest:0>7}") or not folder.is_dir():
        present = ", ".join(sorted(child.name for child in path.glob("iter_*"))) or "none"
        raise CheckpointError(f"there is no {name!r} in it; present: {present}", where=str(path))
    return folder, int(latest) if latest.isdecimal() else None


def _check_proxy(args: argparse.Namespace, folder: Path) -> None:
    if getattr(args, "proxy_compression", None) is None:
        raise CheckpointError(
            "the model was not trained with --proxy-compression: it has another vocabulary than raw bytes",
            where=str(folder),
        )
    size = getattr(args, "padded_vocab_size", None)
    if not isinstance(size, int) or size < SYMBOL_OFFSET:
        raise CheckpointError(
            f"the vocabulary of {size} ids does not hold the specials and the 256 bytes", where=str(folder)
        )
