"""Checkpoints in Megatron's default format, ``torch_dist``: torch's distributed checkpoint.

An index (``.metadata``) tells for every tensor which rectangle of it lies where in which file. Homogeneous layers are
stacked: ``decoder.layers.mlp.linear_fc1.weight`` has one leading dimension more than the weight of one layer.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import torch

from ...errors import CheckpointError
from .safety import load_bytes, load_index, training_args

_INDEX: Final = ".metadata"
_LAYERS: Final = "decoder.layers."
_COMMON: Final = "common_state/shard_0_1"


def is_one(folder: Path) -> bool:
    """Whether a folder holds such a checkpoint."""
    return (folder / _INDEX).is_file() and (folder / "metadata.json").is_file()


class TorchDistTensors:
    """The weights and training arguments in one folder; weights are read when they are asked for.

    Raises
    ------
    CheckpointError
        A damaged or half-written checkpoint, or one that holds no training arguments.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._index = _read_index(folder)
        self.args = training_args(read_common(folder, self._index), folder)
        # Where a tensor is: its key in the index and, if layers are stacked under it, which of them.
        self._rows: dict[str, tuple[str, int | None]] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        for key, entry in self._index.state_dict_metadata.items():
            if hasattr(entry, "chunks") and not key.startswith(("optimizer.", "chained_")):
                self._add(key, tuple(entry.size))

    def _add(self, key: str, size: tuple[int, ...]) -> None:
        if key.startswith(_LAYERS) and not re.match(r"\d+\.", key.removeprefix(_LAYERS)):
            rest = key.removeprefix(_LAYERS)
            for layer in range(size[0]):
                name = f"{_LAYERS}{layer}.{rest}"
                self._rows[name], self.shapes[name] = (key, layer), size[1:]
        else:
            self._rows[key], self.shapes[key] = (key, None), size

    def read(self, name: str) -> torch.Tensor:
        """One whole tensor, put together from the pieces that the ranks saved."""
        key, layer = self._rows[name]
        entry = self._index.state_dict_metadata[key]
        result = torch.empty(self.shapes[name], dtype=entry.properties.dtype)
        filled = 0
        for chunk in entry.chunks:
            offsets, sizes = tuple(chunk.offsets), tuple(chunk.sizes)
            if layer is not None:
                if not offsets[0] <= layer < offsets[0] + sizes[0]:
                    continue
                piece = self._piece(key, chunk)[layer - offsets[0]]
                offsets, sizes = offsets[1:], sizes[1:]
            else:
                piece = self._piece(key, chunk)
            place = tuple(slice(offset, offset + size) for offset, size in zip(offsets, sizes, strict=True))
            result[place] = piece
            filled += piece.numel()
        if filled != result.numel():
            raise CheckpointError(f"parts of {name!r} are missing", where=str(self._folder))
        return result

    def _piece(self, key: str, chunk: Any) -> torch.Tensor:
        from torch.distributed.checkpoint.metadata import MetadataIndex

        info = self._index.storage_data[MetadataIndex(key, chunk.offsets)]
        piece = load_bytes(_stored(self._folder, info), f"{self._folder / info.relative_path}: {key}")
        if not isinstance(piece, torch.Tensor) or piece.shape != chunk.sizes:
            raise CheckpointError(f"a part of {key!r} is not what the index says", where=str(self._folder))
        return piece


def read_common(folder: Path, index: Any = None) -> Any:
    """What the folder of one iteration holds beside tensors: training arguments, iteration, schedule of rates.

    ``index`` is read if it is needed and not given.

    Raises
    ------
    CheckpointError
        A damaged or half-written checkpoint.
    """
    from torch.distributed.checkpoint.metadata import MetadataIndex

    legacy = folder / "common.pt"
    if legacy.is_file():
        common = load_bytes(legacy.read_bytes(), str(legacy))
    else:
        index = _read_index(folder) if index is None else index
        info = index.storage_data.get(MetadataIndex(_COMMON))
        if info is None:
            raise CheckpointError("it holds no common state, and so no training arguments", where=str(folder))
        common = load_bytes(_stored(folder, info), f"{folder}: {_COMMON}")
    return common[0] if isinstance(common, list) and common else common


def _stored(folder: Path, info: Any) -> bytes:
    """What the index places somewhere in a file of the folder."""
    with open(folder / info.relative_path, "rb") as file:
        file.seek(info.offset)
        return file.read(info.length)


def _read_index(folder: Path) -> Any:
    index = load_index(folder / _INDEX)
    _check_files(folder, index)
    return index


def _check_files(folder: Path, index: Any) -> None:
    """Every file must be there and reach as far as the index says."""
    ends: dict[str, int] = {}
    for info in index.storage_data.values():
        if Path(info.relative_path).name != info.relative_path or getattr(info, "transform_descriptors", None):
            raise CheckpointError(
                f"the file {info.relative_path!r} is transformed or outside the folder", where=str(folder)
            )
        ends[info.relative_path] = max(ends.get(info.relative_path, 0), info.offset + info.length)
    for name, end in ends.items():
        path = folder / name
        size = path.stat().st_size if path.is_file() else None
        if size is None or size < end:
            what = "is missing" if size is None else f"has {size:,} bytes of {end:,}"
            raise CheckpointError(
                f"the checkpoint is half-written: {name} {what}",
                where=str(folder),
                fix="choose another iteration with --iteration",
            )
