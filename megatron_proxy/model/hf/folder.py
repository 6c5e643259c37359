"""The files of a Hugging Face folder, as ``save_pretrained`` or ``megatron-proxy export`` wrote them.

Nothing in it is run, and nothing is unpickled: configuration and tokenizer are JSON, weights are safetensors.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from torch import Tensor

from ...errors import CheckpointError, UnsupportedError
from ...vocab import NUM_SPECIALS, SYMBOL_OFFSET
from . import families
from .tokenizer import vocabulary

CONFIG: Final = "config.json"
TOKENIZER: Final = "tokenizer.json"
WEIGHTS: Final = "model.safetensors"
INDEX: Final = "model.safetensors.index.json"
_TAKEN: Final = (
    "import takes folders that `megatron-proxy export` wrote, or that were trained on from one, and with --as-proxy "
    "those of models over tokens"
)


class HfFolder:
    """Configuration and weights of a folder; weights are read when they are asked for.

    Raises
    ------
    CheckpointError
        A folder that is missing or half-written.
    UnsupportedError
        A model of another architecture than those of :mod:`.families`, quantized, or with code of its own.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_dir():
            raise CheckpointError("there is no such folder", where=str(path), fix=_TAKEN)
        self.config = read_json(path / CONFIG, _TAKEN)
        self.family = _family(self.config, str(path / CONFIG))
        self._files = _files(path)
        self.shapes = {tensor: self._shape(tensor) for tensor in self._files}

    def read(self, tensor: str) -> Tensor:
        """One tensor, as it is stored."""
        with _opened(self._files[tensor]) as file:
            found: Tensor = file.get_tensor(tensor)
            return found

    def _shape(self, tensor: str) -> tuple[int, ...]:
        with _opened(self._files[tensor]) as file:
            if tensor not in file.keys():  # noqa: SIM118 - the file is no mapping
                raise CheckpointError(
                    f"half-written: the index promises {tensor!r}, and it is not there", where=str(self._files[tensor])
                )
            return tuple(file.get_slice(tensor).get_shape())


def read_json(path: Path, fix: str) -> dict[str, Any]:
    """The object in a JSON file.

    Raises
    ------
    CheckpointError
        If it cannot be read, or holds no object.
    """
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise CheckpointError(f"cannot be read ({reason})", where=str(path), fix=fix) from error
    if not isinstance(content, dict):
        raise CheckpointError("holds no JSON object", where=str(path), fix=fix)
    return content


def _family(config: dict[str, Any], where: str) -> families.Family:
    if config.get("auto_map"):
        raise UnsupportedError(
            "the model asks for code of its own (auto_map), which is never run",
            where=where,
            fix="import a model of an architecture that transformers itself has",
        )
    family = families.of_config(config, where, _TAKEN)
    if config.get("quantization_config"):
        raise UnsupportedError("its weights are quantized", where=where, fix="import them unquantized")
    return family


def check_raw(folder: HfFolder) -> None:
    """Refuse another vocabulary than specials and bytes.

    Raises
    ------
    CheckpointError
        For other tokens, or another number of them.
    """
    config, path = folder.config, folder.path
    if config.get("vocab_size") != SYMBOL_OFFSET:
        raise CheckpointError(
            f"its vocabulary has {config.get('vocab_size')} ids, not the {NUM_SPECIALS} specials and 256 bytes of a "
            "proxy-trained model",
            where=str(path / CONFIG),
            fix=_TAKEN,
        )
    tokenizer = path / TOKENIZER
    content = read_json(tokenizer, _TAKEN)
    found = dict(_part(_part(content, "model"), "vocab"))
    # Saved by transformers again, the specials may stand among the added tokens alone.
    added = content.get("added_tokens")
    for token in added if isinstance(added, list) else []:
        if isinstance(token, dict):
            found[str(token.get("content"))] = token.get("id")
    if found != vocabulary():
        raise CheckpointError(
            "its tokens are not the specials and the 256 bytes of a proxy-trained model",
            where=str(tokenizer),
            fix=_TAKEN,
        )


def _part(content: dict[str, Any], key: str) -> dict[str, Any]:
    found = content.get(key)
    return found if isinstance(found, dict) else {}


def _files(path: Path) -> dict[str, Path]:
    """The file of each tensor."""
    if (path / INDEX).is_file():
        weight_map = _part(read_json(path / INDEX, "was the folder written to its end?"), "weight_map")
        outside = [file for file in weight_map.values() if not isinstance(file, str) or Path(file).name != file]
        if outside:
            raise CheckpointError(f"names a file outside the folder: {outside[0]!r}", where=str(path / INDEX))
        return {str(tensor): path / file for tensor, file in weight_map.items()}
    if not (path / WEIGHTS).is_file():
        raise CheckpointError(
            f"it holds neither {WEIGHTS} nor {INDEX}", where=str(path), fix="was it written to its end?"
        )
    with _opened(path / WEIGHTS) as file:
        return dict.fromkeys(file.keys(), path / WEIGHTS)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"cannot be read ({error})", where=str(path), fix="was the folder written to its end?"
        ) from error
