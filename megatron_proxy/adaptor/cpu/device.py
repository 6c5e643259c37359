"""Tensors asked for on ``"cuda"`` are made on the CPU, and say that they are where they were asked for.

Which random generator an operation draws from follows the device it would run on with a GPU. Tensors do not remember
having been asked for on ``"cuda"``, so the rule goes by operation: what a forward pass draws (dropout) and factories
with ``device="cuda"`` draw from the "cuda" generator, all else (initialisation on the CPU, data) from the CPU's. Were
they one generator, Megatron's tensor-parallel ranks, which fork the "cuda" state with a seed of their own, would drift
apart on the CPU state too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
from torch.overrides import TorchFunctionMode

from .cuda import GENERATOR

_CPU: Final = torch.device("cpu")
_FACTORIES_THAT_DRAW: Final = frozenset({torch.rand, torch.randn, torch.randint, torch.randperm, torch.normal})
_FORWARD_DRAWS: Final = frozenset(
    {
        torch.nn.functional.dropout,
        torch.nn.functional.dropout1d,
        torch.nn.functional.dropout2d,
        torch.nn.functional.dropout3d,
        torch.nn.functional.alpha_dropout,
        torch.nn.functional.feature_alpha_dropout,
        torch.nn.functional.rrelu,
        torch.nn.functional.scaled_dot_product_attention,
        torch.dropout,
        torch.dropout_,
        torch.rand_like,
        torch.randn_like,
        torch.bernoulli,
        torch.multinomial,
    }
)


def install() -> None:
    """Enter the mode for good and patch the methods that name a device."""
    _CudaMeansCpu().__enter__()
    tensor: Any = torch.Tensor
    module: Any = torch.nn.Module
    plain_type = tensor.type

    def type_(self: torch.Tensor, dtype: Any = None, non_blocking: bool = False, **kwargs: Any) -> Any:
        if dtype is not None:
            name = dtype.replace("torch.cuda.", "torch.") if isinstance(dtype, str) else dtype
            return plain_type(self, name, non_blocking, **kwargs)
        # Megatron's optimizers sort parameters by this name and refuse those of a CPU. The mode may have come here
        # already: torch looks its own methods up by name.
        return "torch.cuda." + plain_type(self).removeprefix("torch.").removeprefix("cuda.")

    tensor.type = type_
    tensor.cuda = lambda self, *_args, **_kwargs: self
    tensor.pin_memory = lambda self, *_args, **_kwargs: self
    module.cuda = lambda self, *_args, **_kwargs: self
    for kind in ("Float", "Double", "Half", "BFloat16", "Int", "Long", "Byte"):
        setattr(torch.cuda, f"{kind}Tensor", getattr(torch, f"{kind}Tensor"))


def _is_cuda(value: object) -> bool:
    if isinstance(value, torch.device):
        return value.type == "cuda"
    return isinstance(value, str) and (value == "cuda" or value.startswith("cuda:"))


class _CudaMeansCpu(TorchFunctionMode):
    """Rewrites the device of every torch call made in this thread."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = dict(kwargs) if kwargs else {}
        if func is torch.device:
            return func(*args, **named)
        device = named.get("device")
        # A bare number is a CUDA device: what torch.cuda.current_device() answers.
        asked = device is not None and (_is_cuda(device) or isinstance(device, int))
        if asked:
            named["device"] = _CPU
        if any(_is_cuda(argument) for argument in args):
            args = tuple(_CPU if _is_cuda(argument) else argument for argument in args)
        elif func is torch.Tensor.to and len(args) > 1 and type(args[1]) is int:
            args = (args[0], _CPU, *args[2:])
        if asked and func in _FACTORIES_THAT_DRAW and named.get("generator") is None:
            named["generator"] = GENERATOR
        if named.get("pin_memory"):
            named["pin_memory"] = False
        if func in _FORWARD_DRAWS and named.get("generator") is None:
            return _with_cuda_generator(func, args, named)
        return func(*args, **named)


def _with_cuda_generator(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call ``func``, which draws from the CPU's default generator, with the "cuda" generator's state in it."""
    default = torch.default_generator
    before = default.get_state()
    default.set_state(GENERATOR.get_state())
    try:
        return func(*args, **kwargs)
    finally:
        GENERATOR.set_state(default.get_state())
        default.set_state(before)
