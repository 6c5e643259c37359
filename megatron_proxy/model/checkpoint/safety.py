"""Loading pickled parts of a checkpoint without running what a stranger put into them."""

from __future__ import annotations

import argparse
import io
import logging
import os
import pickle
import re
import warnings
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, BinaryIO, Final

import torch

from ...errors import CheckpointError

_DCP: Final = "torch.distributed.checkpoint"
INDEX_GLOBALS: Final = frozenset(
    {
        *(
            f"{_DCP}.metadata {name}"
            for name in (
                *("Metadata", "MetadataIndex", "TensorStorageMetadata", "TensorProperties", "ChunkStorageMetadata"),
                *("BytesStorageMetadata", "StorageMeta", "_MEM_FORMAT_ENCODING"),
            )
        ),
        *(f"{_DCP}.planner {name}" for name in ("SavePlan", "WriteItem", "WriteItemType", "TensorWriteData")),
        f"{_DCP}.filesystem _StorageInfo",
        "torch Size",
        "torch device",
        "torch.serialization _get_layout",
        "collections OrderedDict",
        *(f"torch {dtype}" for dtype in ("float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2")),
        *(f"torch {dtype}" for dtype in ("int64", "int32", "int16", "int8", "uint8", "bool")),
    }
)
"""What torch's index of a checkpoint is made of: records and dtypes, none of which does anything when called."""


class _IndexUnpickler(pickle.Unpickler):
    """Takes nothing but what :data:`INDEX_GLOBALS` lists."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self._where = file.name

    def find_class(self, module: str, name: str) -> Any:
        """What a pickle names."""
        if f"{module} {name}" not in INDEX_GLOBALS:
            raise CheckpointError(
                f"the index names things that have no place in one, and is not loaded: {module} {name}",
                where=self._where,
                fix="do not use this checkpoint unless you know where it comes from",
            )
        return super().find_class(module, name)


def load_index(path: Path) -> Any:
    """Read torch's index of a checkpoint.

    Raises
    ------
    CheckpointError
        With a name that is not among :data:`INDEX_GLOBALS`, or if the file is no index.
    """
    try:
        with path.open("rb") as file:
            index = _IndexUnpickler(file).load()
        _ = index.state_dict_metadata, index.storage_data.values()
    except CheckpointError:
        raise
    except Exception as error:  # what is cut off or makes no sense can end in any kind
        raise CheckpointError(
            f"the index is damaged or half-written ({type(error).__name__}: {error})", where=str(path)
        ) from error
    return index


def load_safely(file: BinaryIO | str | os.PathLike[str], where: str, *, mmap: bool = False) -> Any:
    """``torch.load`` on the CPU under Megatron's allow-list.

    Raises
    ------
    CheckpointError
        If the file is damaged, or names a class that is not on the list.
    """
    try:
        with _megatrons_allow_list():
            return torch.load(file, map_location="cpu", weights_only=True, mmap=mmap or None)
    except Exception as error:  # torch raises many kinds for damaged files
        if match := re.search(r"Unsupported (?:global: GLOBAL|class) (\S+)", str(error)):
            raise CheckpointError(
                f"it holds a {match[1]}, which Megatron does not list as safe, and is not loaded",
                where=where,
                fix="do not use this file unless you know where it comes from",
            ) from error
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise CheckpointError(
            f"it cannot be loaded ({first})", where=where, fix="was it written to its end?"
        ) from error


def load_bytes(content: bytes, where: str) -> Any:
    """:func:`load_safely` for bytes."""
    return load_safely(io.BytesIO(content), where)


def training_args(common: Any, folder: Path) -> argparse.Namespace:
    """The arguments that Megatron was run with, of what was loaded beside tensors.

    Raises
    ------
    CheckpointError
        If there are none.
    """
    args = common.get("args") if isinstance(common, dict) else None
    if not isinstance(args, argparse.Namespace):
        raise CheckpointError(
            "it holds no training arguments: Megatron's own training loop did not write it", where=str(folder)
        )
    return args


def _megatrons_allow_list() -> AbstractContextManager[None]:
    # Megatron warns of missing Apex and Transformer Engine when imported, and torch of a missing CUDA.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from megatron.core.safe_globals import SAFE_GLOBALS
    # What is listed already stays so: at its end the context takes away what it was given, and Megatron, which lists
    # these once when it is imported, could not load its own checkpoints any more.
    listed = torch.serialization.get_safe_globals()
    return torch.serialization.safe_globals([one for one in SAFE_GLOBALS if one not in listed])
