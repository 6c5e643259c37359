"""From a Hugging Face folder to a checkpoint: checks first, then Megatron in a process of its own, then one rename."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch

from ...common.storage.files import replacing, require_free
from ...data.dataset.opened import PreparedDataset
from ...errors import CheckpointError, ConfigurationError, ProxyError
from ..network import Architecture
from . import megatron_weights
from .folder import LlamaFolder
from .shape import architecture, megatron_flags, sentinels

_DTYPE_FLAGS: Final = {torch.float32: [], torch.bfloat16: ["--bf16"], torch.float16: ["--fp16"]}
_SAVING: Final = (
    *("--micro-batch-size", "1", "--train-iters", "1", "--lr", "0"),
    *("--ckpt-format", "torch_dist", "--save-interval", "1", "--no-save-optim", "--no-save-rng"),
)
_CHILD: Final = f"{__package__}.saving"


@dataclass(frozen=True)
class Imported:
    """What was imported.

    Parameters
    ----------
    flags
        Megatron's flags that describe the model.
    new_rows
        How many symbols' rows were made anew.
    """

    flags: list[str]
    new_rows: int


def import_folder(
    source: Path,
    target: Path,
    *,
    prefix: str,
    compressor: str,
    dtype: torch.dtype | None = None,
    seed: int = 1234,
    std: float = 0.02,
    divisible_by: int = 128,
    overwrite: bool = False,
) -> Imported:
    """Write a checkpoint that ``--load`` takes, of an exported folder's weights.

    Parameters
    ----------
    source
        The Hugging Face folder.
    target
        The checkpoint to write.
    prefix, compressor
        The prepared dataset that training goes on with, and which of its compressed views: their symbols get rows.
    dtype
        What to store; by default what the folder stores.
    seed, std
        Of the symbols' rows; Megatron's ``--seed`` and ``--init-method-std``.
    divisible_by
        Megatron's ``--make-vocab-size-divisible-by``.
    overwrite
        Whether an existing ``target`` is replaced, with all that is in it.

    Raises
    ------
    ProxyError
        For a folder that is none of ours, a dataset that is not prepared, or what Megatron refuses.
    """
    require_free(target, overwrite=overwrite)
    llama = LlamaFolder(source)
    vocabulary = PreparedDataset.open(prefix).compressed(compressor).vocabulary
    shape = shape_of(llama)
    model = megatron_flags(shape)
    data = ["--data-path", os.path.abspath(prefix), "--proxy-compression", compressor]
    if not sentinels(llama.config):
        data += ["--proxy-mode", "vanilla"]
    flags = [*model, *data, *_dtype_flags(llama, dtype)]
    flags += ["--seed", str(seed), "--init-method-std", str(std), "--make-vocab-size-divisible-by", str(divisible_by)]
    with replacing(target) as beside:
        _run_megatron(source, [*flags, "--save", str(beside)])
    return Imported([*model, *data], vocabulary.num_symbols)


def shape_of(llama: LlamaFolder) -> Architecture:
    """The model's architecture; its tensors are checked against it.

    Raises
    ------
    ProxyError
        For an architecture that is not supported, or tensors that are missing or of other sizes.
    """
    attention_bias, mlp_bias = (bool(llama.config.get(f"{part}_bias")) for part in ("attention", "mlp"))
    shape = architecture(llama.config, biases=False)
    try:
        megatron_weights.check(llama, shape, attention_bias=attention_bias, mlp_bias=mlp_bias)
    except CheckpointError as error:
        raise CheckpointError(error.what, where=str(llama.path), fix=error.fix) from None
    outputs = [f"model.layers.{number}.self_attn.o_proj.bias" for number in range(shape.layers)]
    # Where only queries, keys and values had biases, export put zeros for Llama's output projection.
    biases = mlp_bias or (attention_bias and any(bool(llama.read(name).any()) for name in outputs))
    return architecture(llama.config, biases=biases)


def _dtype_flags(llama: LlamaFolder, dtype: torch.dtype | None) -> Sequence[str]:
    dtype = dtype or llama.read("model.norm.weight").dtype
    if dtype not in _DTYPE_FLAGS:
        raise ConfigurationError(f"Megatron does not train in {dtype}", where="--dtype", fix="give --dtype float32")
    return _DTYPE_FLAGS[dtype]


def _run_megatron(source: Path, flags: Sequence[str]) -> None:
    # On the CPU wherever it runs: one GPU may be too small for the whole model, and nothing is computed.
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "TORCHDYNAMO_DISABLE": "1"}
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        environment.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-m", _CHILD, str(source), *flags, *_SAVING],
        env=environment,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise ProxyError("Megatron did not write the checkpoint:\n" + "\n".join(lines[-8:]), where="import")
