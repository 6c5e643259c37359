"""From a Hugging Face folder to a checkpoint: checks first, then Megatron in a process of its own, then one rename."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch

from ...common.storage.files import replacing, require_free
from ...data.dataset.manifest import CompressedView
from ...data.dataset.opened import PreparedDataset
from ...errors import CheckpointError, ConfigurationError, ProxyError
from ...vocab import RAW_OPEN
from ..network import Architecture
from . import families, megatron_weights
from .folder import TOKENIZER, HfFolder, check_raw
from .rows import Bytes, TokenRows
from .shape import architecture, megatron_flags
from .tokens import COMPRESSOR, Special, Tokens, tokens_of

_DTYPE_FLAGS: Final = {torch.float32: [], torch.bfloat16: ["--bf16"], torch.float16: ["--fp16"]}
_SAVING: Final = (
    *("--micro-batch-size", "1", "--train-iters", "1", "--lr", "0"),
    *("--no-initialization", "--ckpt-format", "torch_dist", "--save-interval", "1", "--no-save-optim", "--no-save-rng"),
)
# A normalizer that composes accents changes next to nothing; one that lowers all letters changes a third.
_MOST_LITERALS: Final = 0.1
_CHILD: Final = f"{__package__}.saving"


@dataclass(frozen=True)
class Imported:
    """What was imported: Megatron's flags for it, how many symbols' rows were made anew, and what to tell, in lines."""

    flags: list[str]
    new_rows: int
    notes: list[str]


def import_folder(
    source: Path,
    target: Path,
    *,
    prefix: str,
    compressor: str = COMPRESSOR,
    tokens: Bytes | None = None,
    dtype: torch.dtype | None = None,
    seed: int = 1234,
    std: float = 0.02,
    divisible_by: int = 128,
    overwrite: bool = False,
) -> Imported:
    """Write a checkpoint that ``--load`` takes, of a folder's weights.

    Parameters
    ----------
    source
        The Hugging Face folder.
    target
        The checkpoint to write.
    prefix, compressor
        The prepared dataset that training goes on with, and which of its compressed views: their symbols get rows.
    tokens
        Of a model over tokens, which become the symbols: what the rows of bytes begin as. None: the folder is an
        exported one, of specials and bytes.
    dtype
        What to store; by default what the folder stores.
    seed, std
        Of rows that are drawn; Megatron's ``--seed`` and ``--init-method-std``.
    divisible_by
        Megatron's ``--make-vocab-size-divisible-by``.
    overwrite
        Whether an existing ``target`` is replaced, with all that is in it.

    Raises
    ------
    ProxyError
        For a folder that cannot be taken, a dataset that is not prepared or by another tokenizer, or what Megatron
        refuses.
    """
    require_free(target, overwrite=overwrite)
    folder = HfFolder(source)
    rows = rows_of(folder, prefix, compressor, tokens)
    shape = shape_of(folder)
    view = PreparedDataset.open(prefix).compressed(compressor)
    new_rows = view.vocabulary.num_symbols
    notes: list[str] = []
    if rows is not None:
        _check_exact(rows.tokens, view, prefix)
        new_rows, notes = 0, _notes(folder, rows.tokens, view)
    model = megatron_flags(shape)
    data = ["--data-path", os.path.abspath(prefix), "--proxy-compression", compressor]
    # Between sentinels <raw> is what a text begins with.
    if tokens is None and folder.config.get("bos_token_id") != RAW_OPEN:
        data += ["--proxy-mode", "vanilla"]
    flags = [*model, *data, *_dtype_flags(folder, dtype)]
    flags += ["--seed", str(seed), "--init-method-std", str(std), "--make-vocab-size-divisible-by", str(divisible_by)]
    with replacing(target) as beside:
        _run_megatron(source, tokens, [*flags, "--save", str(beside)])
    return Imported([*model, *data], new_rows, notes)


def rows_of(folder: HfFolder, prefix: str, compressor: str, tokens: Bytes | None) -> TokenRows | None:
    """Which rows of a checkpoint the folder has, None for specials and bytes; its vocabulary is checked.

    Raises
    ------
    ProxyError
        For another vocabulary than specials and bytes, or, of a model over tokens, another tokenizer than the view's.
    """
    if tokens is None:
        check_raw(folder)
        return None
    known = tokens_of(PreparedDataset.open(prefix).compressor(compressor), folder.path, f"--prefix {prefix}")
    rows = folder.config.get("vocab_size")
    if isinstance(rows, int) and rows < len(known):
        raise CheckpointError(
            f"its tokenizer has {len(known):,} tokens, added ones among them, and the model has rows for {rows:,}",
            where=str(folder.path / TOKENIZER),
            fix="take out the tokens that were added, or give the model rows for them: resize_token_embeddings",
        )
    return TokenRows(known, Special.of(folder.config, len(known)), tokens)


def shape_of(folder: HfFolder) -> Architecture:
    """The model's architecture; its tensors are checked against it.

    Raises
    ------
    ProxyError
        For an architecture that is not supported, or tensors that are missing or of other sizes.
    """
    family, config = folder.family, folder.config
    biased = family.biased(config)
    shape = architecture(config, family, biases=False)
    megatron_weights.check(folder, shape, biased)
    outputs = [f"model.layers.{number}.self_attn.o_proj" for number in range(shape.layers)]
    # Where only queries, keys and values had biases, export once put zeros for Llama's output projection.
    biases = any(name.startswith("mlp.") for name in biased) or (
        "self_attn.o_proj" in biased and any(bool(folder.read(f"{name}.bias").any()) for name in outputs)
    )
    shape = architecture(config, family, biases=biases)
    families.of_shape(shape)
    return shape


def _check_exact(tokens: Tokens, view: CompressedView, prefix: str) -> None:
    """Refuse a view that is not what the model knows: the tokenizer changes texts, and much of it is literal bytes."""
    if not tokens.has_pieces and view.literal_bytes > _MOST_LITERALS * view.view.units:
        raise ConfigurationError(
            f"{_literals(view)}: the model's tokenizer does not give this corpus back byte for byte",
            where=f"--prefix {prefix}",
            fix="begin from a model whose tokenizer is byte-level and changes nothing (no lower case, no normalizer)",
        )


def _literals(view: CompressedView) -> str:
    codes = view.view.units
    share = view.literal_bytes / max(codes, 1)
    return f"{view.literal_bytes:,} of the view's {codes:,} codes are literal bytes ({share:.2%})"


def _notes(folder: HfFolder, tokens: Tokens, view: CompressedView) -> list[str]:
    """What is known of a model over tokens now, a line each."""
    notes = [_literals(view)]
    beyond = int(folder.config["vocab_size"]) - len(tokens)
    if beyond:
        notes.append(f"{beyond:,} rows of the model have no token in its tokenizer and were left out")
    return notes


def _dtype_flags(folder: HfFolder, dtype: torch.dtype | None) -> Sequence[str]:
    dtype = dtype or folder.read(megatron_weights.FINAL_NORM).dtype
    if dtype not in _DTYPE_FLAGS:
        raise ConfigurationError(f"Megatron does not train in {dtype}", where="--dtype", fix="give --dtype float32")
    return _DTYPE_FLAGS[dtype]


def _run_megatron(source: Path, tokens: Bytes | None, flags: Sequence[str]) -> None:
    # On the CPU wherever it runs: one GPU may be too small for the whole model, and nothing is computed.
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "TORCHDYNAMO_DISABLE": "1"}
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        environment.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-m", _CHILD, str(source), tokens or "", *flags, *_SAVING],
        env=environment,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode < 0:
        raise ProxyError(
            f"the process in which Megatron writes the checkpoint was ended by {signal.Signals(-done.returncode).name}",
            where="import",
            fix="if nobody did that, memory ran out: it needs that of two of the model's largest tensors, and 1 GB",
        )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise ProxyError("Megatron did not write the checkpoint:\n" + "\n".join(lines[-8:]), where="import")
