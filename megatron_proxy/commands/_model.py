"""Flags of the commands that use a trained model, and how they load it."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from ..errors import ConfigurationError

if TYPE_CHECKING:
    import torch

    from ..compressors import Compressor
    from ..model.checkpoint import Checkpoint
    from ..model.generation import Drafting
    from ..model.network import ByteModel

DTYPES: Final = ("float32", "bfloat16", "float16")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """``--load``, ``--iteration``, ``--device``, ``--dtype``."""
    group = parser.add_argument_group("model")
    add_checkpoint(group)
    group.add_argument("--device", metavar="DEVICE", help="cpu, cuda, cuda:1 … (default: a GPU if there is one)")
    group.add_argument(
        "--dtype", choices=DTYPES, help="what to compute in (default: float32 on a CPU, bfloat16 on a GPU)"
    )


def add_checkpoint(parser: argparse._ActionsContainer) -> None:
    """``--load`` and ``--iteration``."""
    parser.add_argument("--load", required=True, metavar="CKPT", help="the folder that --save named in training")
    parser.add_argument("--iteration", type=int, metavar="N", help="which iteration of it (default: the latest)")


def add_windows(parser: argparse._ActionsContainer) -> None:
    """``--context``, ``--stride`` and ``--batch``, of what scores documents in windows."""
    parser.add_argument("--context", type=int, metavar="IDS", help="most ids in a window (default: as trained)")
    parser.add_argument("--stride", type=int, metavar="IDS", help="ids scored per window (default: half the context)")
    parser.add_argument("--batch", type=int, default=8, metavar="N", help="windows per pass (default: %(default)s)")


def add_sampling(parser: argparse._ActionsContainer) -> None:
    """``--temperature``, ``--top-k``, ``--top-p`` and ``--seed``."""
    parser.add_argument("--temperature", type=float, default=0.0, help="0 takes the most probable byte (default)")
    parser.add_argument("--top-k", type=int, metavar="K", help="choose among the K most probable bytes")
    parser.add_argument("--top-p", type=float, metavar="P", help="choose among the fewest bytes of probability P")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the sampling (default: %(default)s)")


def dtype(args: argparse.Namespace) -> torch.dtype | None:
    """What ``--dtype`` names, if it is given."""
    import torch

    return None if args.dtype is None else getattr(torch, args.dtype)


def load(args: argparse.Namespace, drafting: Drafting | None = None) -> tuple[Checkpoint, ByteModel]:
    """The checkpoint and the model that the flags name, with its layer that looks ahead only where drafts are its own.

    Raises
    ------
    ProxyError
        For a checkpoint that cannot be used, or a device that is not there.
    """
    import torch

    from ..adaptor.cpu import memory
    from ..model.checkpoint import open_checkpoint
    from ..model.network import Architecture, ByteModel

    device = _device(args.device)
    if device == "cpu":
        memory.keep_freed()
    computed = dtype(args) or (torch.float32 if device == "cpu" else torch.bfloat16)
    checkpoint = open_checkpoint(args.load, args.iteration)
    shape = Architecture.from_args(checkpoint.args)
    if drafting is None or not drafting.by_model:
        shape = replace(shape, looks_ahead=False)
    return checkpoint, ByteModel(shape, checkpoint.tensors, device, computed)


def compressor(prefix: str, checkpoint: Checkpoint) -> Compressor:
    """The compressor of the dataset that the model was trained on, which ``--data-prefix`` names.

    Raises
    ------
    ProxyError
        A dataset that cannot be used, or another one.
    """
    from ..data.dataset.opened import PreparedDataset

    compressor = PreparedDataset.open(prefix).compressor(checkpoint.args.proxy_compression)
    if compressor.vocabulary.size > checkpoint.args.padded_vocab_size:
        raise ConfigurationError(
            f"the {compressor.name} view of this dataset has {compressor.vocabulary.size:,} ids, the model "
            f"{checkpoint.args.padded_vocab_size:,}",
            where="--data-prefix",
            fix="name the dataset that the model was trained on",
        )
    trained_on = getattr(checkpoint.args, "proxy_fingerprints", None)
    if trained_on and compressor.fingerprint not in trained_on:
        raise ConfigurationError(
            f"the model was trained on symbols of another {compressor.name} compressor than this dataset's",
            where="--data-prefix",
            fix="name the dataset that the model was trained on",
        )
    return compressor


def _device(name: str | None) -> str:
    import os

    import torch

    if name is None:
        return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        raise ConfigurationError(f"{name!r} cannot be used: {str(error).splitlines()[0]}", where="--device") from error
    return name


def windows(args: argparse.Namespace, model: ByteModel) -> tuple[int, int]:
    """The ids of a window, and how many of them are scored, as ``--context`` and ``--stride`` ask for.

    Raises
    ------
    ConfigurationError
        A window of less than two ids, or of more than there are learned positions; none scored, or more than it has.
    """
    trained = model.architecture.context
    context = trained if args.context is None else int(args.context)
    if context < 2:
        raise ConfigurationError(f"a window of {context} ids holds nothing to predict from", where="--context")
    if model.architecture.learned_positions and context > trained:
        raise ConfigurationError(
            f"the model has learned positions for {trained} ids, not for {context}", where="--context"
        )
    stride = context // 2 if args.stride is None else int(args.stride)
    if not 1 <= stride <= context:
        raise ConfigurationError(f"must be between 1 and the context, {context}, not {stride}", where="--stride")
    return context, stride
