"""Flags that Megatron needs on a CPU, put in as defaults; what the user gives on the command line stays."""

from __future__ import annotations

import argparse
import functools
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any, Final

from ..helpers import use_compiled_helpers

CPU_FLAGS: Final[tuple[str, ...]] = (
    "--transformer-impl local",
    "--distributed-backend gloo",
    "--use-cpu-initialization",
    "--attention-backend unfused",
    "--no-persist-layer-norm",
    "--no-gradient-accumulation-fusion",
    "--no-masked-softmax-fusion",
    "--no-bias-gelu-fusion",
    "--no-bias-swiglu-fusion",
    "--no-bias-dropout-fusion",
    "--no-rope-fusion",
)
"""Fused kernels and Transformer Engine exist for GPUs only."""

_told = False


def install() -> None:
    """Wrap Megatron's one function that adds its arguments to a parser. Without Megatron there is nothing to do."""
    # Megatron checks this variable for tensor parallelism; it orders kernels on a GPU and means nothing here.
    os.environ.setdefault("CUDA_DEVICE_MAX_CONNECTIONS", "1")
    try:
        from megatron.training import arguments
    except ImportError as error:
        print(f"megatron_proxy: no argument defaults for the CPU: {error}", file=sys.stderr)
        return
    use_compiled_helpers()
    arguments.add_megatron_arguments = _with_defaults(arguments.add_megatron_arguments)


def _with_defaults(add_arguments: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(add_arguments)
    def with_defaults(parser: argparse.ArgumentParser, *args: Any, **kwargs: Any) -> argparse.ArgumentParser:
        parser = add_arguments(parser, *args, **kwargs)
        _tell_once(set_defaults(parser, CPU_FLAGS, sys.argv[1:]))
        return parser

    return with_defaults


def set_defaults(parser: argparse.ArgumentParser, flags: Iterable[str], argv: list[str]) -> list[str]:
    """Make ``flags`` the parser's defaults, except those whose destination ``argv`` sets; returns what was put in.

    A flag that the parser does not know is left out: releases of Megatron differ.
    """
    actions = parser._option_string_actions
    words = (argument.partition("=")[0] for argument in argv)
    given = {actions[word].dest for word in words if word in actions}
    applied = []
    for flag in flags:
        option, _, text = flag.partition(" ")
        action = actions.get(option)
        if action is None or action.dest in given:
            continue
        convert = action.type if callable(action.type) else str
        value = action.const if action.nargs == 0 else convert(text)
        if value != parser.get_default(action.dest):
            parser.set_defaults(**{action.dest: value})
            applied.append(flag)
    return applied


def _tell_once(applied: list[str]) -> None:
    """Say which flags were put in, and what is amiss with one that was given; arguments are parsed more than once."""
    global _told
    if _told or os.environ.get("RANK", "0") != "0":
        return
    _told = True
    if applied:
        print(f"megatron_proxy: put in for the CPU: {' '.join(applied)}", flush=True)
    if "--use-distributed-optimizer" in sys.argv:
        print(
            "megatron_proxy: warning: without Apex or Transformer Engine Megatron cannot load a checkpoint that the "
            "distributed optimizer saved (`assert len(steps) == 1`); leave out --use-distributed-optimizer, or load "
            "with --no-load-optim",
            file=sys.stderr,
        )
