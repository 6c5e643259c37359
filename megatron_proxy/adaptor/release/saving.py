"""Writing a checkpoint of given weights by Megatron itself, in a process that has the whole model in files.

The checkpoint is a *release*, as Megatron calls weights that no run of its own has trained: ``--load`` takes it
without an optimizer, and the run begins at iteration 0. As ``torch_dist`` it loads into any parallel layout.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from ..helpers import use_compiled_helpers
from .file_backed import FileBacked
from .model import build_gpt

Weights = Callable[[str], torch.Tensor]
"""From the name of a parameter of Megatron's, in a process that holds the whole model, to its values."""


def save_release(weights_for: Callable[[argparse.Namespace], Weights]) -> None:
    """Build the model that the command line describes, fill it, and write it to ``--save``.

    Parameters
    ----------
    weights_for
        From Megatron's validated arguments, ``padded_vocab_size`` among them, to the weights.
    """
    from megatron.core.utils import unwrap_model
    from megatron.training import get_args, get_model
    from megatron.training.checkpointing import save_checkpoint

    use_compiled_helpers()
    _initialize()
    in_files = FileBacked(Path(get_args().save).parent)
    with in_files:
        model = get_model(partial(build_gpt, get_args()), wrap_with_ddp=False)
    weights = weights_for(get_args())
    for module in unwrap_model(model):
        fill(module, weights)
    # Megatron's writer copies what it does not store as it is: the parts of fused layers.
    with in_files:
        save_checkpoint(0, model, None, None, 0, release=True)


def _initialize() -> None:
    from megatron.training import arguments
    from megatron.training.initialize import initialize_megatron

    defaults = {"tokenizer_type": "NullTokenizer"}
    if hasattr(arguments, "parse_and_validate_args"):
        arguments.parse_and_validate_args(args_defaults=defaults)
        initialize_megatron()
    else:
        # Up to 0.17 one function does both.
        initialize_megatron(args_defaults=defaults)


@torch.no_grad()
def fill(module: torch.nn.Module, weights: Weights) -> None:
    """Give every parameter of a whole model its values."""
    for name, parameter in module.named_parameters():
        values = weights(name)
        if values.shape != parameter.shape:
            raise RuntimeError(f"{name} has the shape {tuple(parameter.shape)}, not {tuple(values.shape)}")
        parameter.copy_(values)
