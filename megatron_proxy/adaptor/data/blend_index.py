"""The index of a blend, on every node: which dataset each sample is from, and which of its samples it is.

Megatron's rank 0 writes it to the cache folder, and all others open it there. A rank that does not see it, since the
folder is on each node's own disk or is late in telling of new files, would end in a traceback. It makes the same index
in its memory, as all of Megatron's ranks do without a cache folder: ten bytes for a sample.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from .. import run
from ..run import Run
from . import dataset

_FILES: Final = ("dataset_index.npy", "dataset_sample_index.npy")


@run.hook
def on_every_node(stock: Callable[..., Any], current: Run, blend: Any) -> Any:
    """Megatron's ``BlendedDataset._build_indices``, which makes what it does not find."""
    config = blend.config
    if dataset.builds() or not config.path_to_cache or _is_there(blend):
        return stock(blend)
    blend.config = copy.copy(config)
    blend.config.path_to_cache = None
    try:
        return stock(blend)
    finally:
        blend.config = config


def _is_there(blend: Any) -> bool:
    """Whether this process sees the files, under Megatron's names."""
    name = f"{blend.unique_description_hash}-{type(blend).__name__}-{blend.split.name}"
    return all(Path(blend.config.path_to_cache, f"{name}-{part}").is_file() for part in _FILES)
