"""The hook on Megatron's ``build_tokenizer``: the ids of the prepared views; and the one where a run is checked first.

Megatron prints its arguments, many hundred lines, when it has validated them, and then builds the tokenizer; there is
no model yet.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from ..errors import ConfigurationError
from . import run


def check_first(print_args: Callable[..., Any]) -> Callable[..., Any]:
    """Megatron's printer of its arguments, which has nothing to print for a run that cannot be."""

    def wrapped(title: str, args: argparse.Namespace) -> Any:
        if getattr(args, "proxy_compression", None) is not None:
            run.of(args)
        return print_args(title, args)

    return wrapped


def build_tokenizer(stock: Callable[..., Any]) -> Callable[..., Any]:
    """The tokenizer of the prepared views; the log is told of the run on its first call."""

    def wrapped(args: argparse.Namespace, **kwargs: Any) -> Any:
        if getattr(args, "proxy_compression", None) is None:
            return stock(args, **kwargs)
        current = run.of(args)
        run.introduce(current)
        tokenizer = current.tokenizer
        set_padded_vocab_size(args, tokenizer.vocab_size)
        # Megatron 0.20 copies the files that --tokenizer-type goes by into checkpoints: ids of other meaning.
        args.save_tokenizer_assets = False
        return tokenizer

    return wrapped


def set_padded_vocab_size(args: argparse.Namespace, size: int) -> None:
    """Set ``args.padded_vocab_size`` as Megatron does, unless a checkpoint has set it.

    Raises
    ------
    ConfigurationError
        If the checkpoint's model has fewer ids than the run.
    """
    from megatron.core.tokenizers.utils.build_tokenizer import vocab_size_with_padding

    if getattr(args, "padded_vocab_size", None) is None and getattr(args, "pad_vocab_size", True):
        args.padded_vocab_size = vocab_size_with_padding(size, args)
    if args.padded_vocab_size is not None and args.padded_vocab_size < size:
        raise ConfigurationError(
            f"the model has {args.padded_vocab_size:,} ids, the prepared views need {size:,}",
            where="--use-checkpoint-args",
            fix="load a checkpoint that was trained on views with this vocabulary",
        )
