"""Flags of the commands that use a trained model, and how they load it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Final

from ..errors import ConfigurationError

if TYPE_CHECKING:
    from ..compressors import Compressor
    from ..model.checkpoint import Checkpoint
    from ..model.network import ByteModel

_DTYPES: Final = ("float32", "bfloat16", "float16")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """``--load``, ``--iteration``, ``--device``, ``--dtype``."""
    group = parser.add_argument_group("model")
    group.add_argument("--load", required=True, metavar="CKPT", help="the folder that --save named in training")
    group.add_argument("--iteration", type=int, metavar="N", help="which iteration of it (default: the latest)")
    group.add_argument("--device", metavar="DEVICE", help="cpu, cuda, cuda:1 … (default: a GPU if there is one)")
    group.add_argument(
        "--dtype", choices=_DTYPES, help="what to compute in (default: float32 on a CPU, bfloat16 on a GPU)"
    )


def load(args: argparse.Namespace) -> tuple[Checkpoint, ByteModel]:
    """The checkpoint and the model that the flags name.

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
    dtype = getattr(torch, args.dtype or ("float32" if device == "cpu" else "bfloat16"))
    checkpoint = open_checkpoint(args.load, args.iteration)
    return checkpoint, ByteModel(Architecture.from_args(checkpoint.args), checkpoint.tensors, device, dtype)


def check_compressor(compressor: Compressor, checkpoint: Checkpoint) -> None:
    """Refuse the compressor of another dataset than the model was trained on.

    Raises
    ------
    ConfigurationError
        Naming ``--data-prefix``.
    """
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


def context(args: argparse.Namespace, model: ByteModel) -> int:
    """The window that ``--context`` asks for, by default the one the model was trained on.

    Raises
    ------
    ConfigurationError
        Less than two ids, or more than there are learned positions.
    """
    asked = model.architecture.context if args.context is None else int(args.context)
    if asked < 2:
        raise ConfigurationError(f"a window of {asked} ids holds nothing to predict from", where="--context")
    if model.architecture.learned_positions and asked > model.architecture.context:
        raise ConfigurationError(
            f"the model has learned positions for {model.architecture.context} ids, not for {asked}", where="--context"
        )
    return asked


def stride(args: argparse.Namespace, context: int) -> int:
    """How many ids of each window of ``context`` are scored, as ``--stride`` asks for.

    Raises
    ------
    ConfigurationError
        None, or more than a window has.
    """
    asked = max(1, context // 2) if args.stride is None else int(args.stride)
    if not 1 <= asked <= context:
        raise ConfigurationError(f"must be between 1 and the context, {context}, not {asked}", where="--stride")
    return asked
