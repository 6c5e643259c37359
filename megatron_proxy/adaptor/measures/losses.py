"""Bits per source byte of each view, in Megatron's log lines, TensorBoard and W&B.

``raw bpb`` is the nats of all raw-view bytes ÷ ln 2 ÷ their number; ``compressed bpb`` the nats of all labels in
compressed views (symbols, and literal bytes if there are any) ÷ ln 2 ÷ the source bytes that they stand for. Specials
count in neither; masked labels (padding) do not count at all.

Sums are exact over micro-batches, ranks and the iterations of a logging interval. So an interval without one view
prints nothing for that view, where Megatron's own mean would be 0 ÷ 0. A forward pass that is run again replaces the
first try.

A micro-batch is only put by: three copies on the GPU, nine bytes a label. What lies there is summed when a figure is
asked for, or when it has become a million labels: some forty small operations, and under context parallelism one
gather, for all of them together. Nothing here waits for the GPU.

The four sums are float64: nats and bytes of the raw view, nats and source bytes of the compressed view.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor

from ... import vocab
from ...errors import UnsupportedError
from ...vocab import NUM_SPECIALS
from . import context, formats

KEYS: Final = ("raw bpb", "compressed bpb")
_AT_ONCE: Final = 1 << 20
"""Labels that are summed together: some hundred megabytes of workspace, once the activations are gone."""


def view_sums(labels: Tensor, losses: Tensor, mask: Tensor | None, source_bytes: Tensor) -> Tensor:
    """The four sums of one micro-batch.

    Parameters
    ----------
    labels
        Integers, shape (windows, length); under context parallelism this rank's pieces of them.
    losses
        Nats of each label, as many.
    mask
        0 where a label does not count, as many; None: all count.
    source_bytes
        float64, shape (ids,): source bytes that each id stands for.

    Returns
    -------
    float64, shape (4,).
    """
    counts = labels >= NUM_SPECIALS
    if mask is not None:
        counts = counts & (mask.reshape(labels.shape) > 0)
    compressed = context.whole_windows(formats.is_compressed, labels)
    of_view = torch.stack([counts & ~compressed, counts & compressed]).flatten(1)
    # A masked loss may be anything, and NaN times 0 is NaN.
    nats = torch.where(of_view, losses.detach().flatten(), 0.0)
    stands_for = torch.where(of_view, source_bytes[labels.flatten()], 0.0)
    return torch.stack([nats.sum(-1, dtype=torch.float64), stands_for.sum(-1)], dim=-1).flatten()


def bits_per_byte(sums: Tensor) -> dict[str, float]:
    """``raw bpb`` and ``compressed bpb`` from the four sums; a view that did not occur is left out."""
    raw_nats, raw_bytes, nats, source_bytes = sums.tolist()
    values = (vocab.bits_per_byte(raw_nats, raw_bytes), vocab.bits_per_byte(nats, source_bytes))
    return {key: value for key, value in zip(KEYS, values, strict=True) if value is not None and math.isfinite(value)}


class MicroBatch(NamedTuple):
    """Copies of what a micro-batch's sums are made of, each of shape (windows, length): int32, any float, bool."""

    labels: Tensor
    losses: Tensor
    mask: Tensor


def put_by(labels: Tensor, losses: Tensor, mask: Tensor | None, seq_length: int) -> MicroBatch:
    """Copy a micro-batch, since whoever made the tensors may use their memory again.

    Parameters
    ----------
    labels, losses, mask
        As for :func:`view_sums`, the windows in rows or laid end to end.
    seq_length
        Labels per window.
    """
    windows = labels.reshape(-1, seq_length // context.ranks()).to(torch.int32, copy=True)
    counts = torch.ones_like(windows, dtype=torch.bool) if mask is None else mask.reshape(windows.shape) > 0
    return MicroBatch(windows, losses.detach().reshape(windows.shape).clone(), counts)


class Sums:
    """The four sums of many micro-batches, put off until they are asked for.

    Parameters
    ----------
    source_bytes
        float64, shape (ids,), on the device of the labels.
    """

    def __init__(self, source_bytes: Tensor) -> None:
        self._source_bytes = source_bytes
        self._waiting: list[MicroBatch] = []
        self._labels = 0
        self._done = torch.zeros(4, dtype=torch.float64, device=source_bytes.device)

    def add(self, batches: Iterable[MicroBatch]) -> None:
        """Micro-batches that count; the ranks of a context-parallel group add the same number of labels."""
        for batch in batches:
            if self._labels + batch.labels.numel() > _AT_ONCE:
                self._sum()
            self._waiting.append(batch)
            self._labels += batch.labels.numel()

    def take(self) -> Tensor:
        """The sums of all that was added, float64, shape (4,), once."""
        self._sum()
        taken, self._done = self._done, torch.zeros_like(self._done)
        return taken

    def _sum(self) -> None:
        if self._waiting:
            parts = self._waiting
            labels, losses, mask = parts[0] if len(parts) == 1 else map(torch.cat, zip(*parts, strict=True))
            self._done += view_sums(labels, losses, mask, self._source_bytes)
            self._waiting, self._labels = [], 0


class Meter:
    """The micro-batches of one process in training, or in one evaluation: from the forward pass to the sums.

    Parameters
    ----------
    source_bytes
        float64, shape (ids,), on the device of the labels.
    seq_length
        Labels per window: some batches arrive with their windows laid end to end.
    """

    def __init__(self, source_bytes: Tensor, seq_length: int) -> None:
        self.sums = Sums(source_bytes)
        self._seq_length = seq_length
        self._step: int | None = None
        self._pass: list[MicroBatch] = []
        self.measured = False
        """Whether there was a micro-batch at all."""

    def measuring(self, forward_step: Callable[..., Any]) -> Callable[..., Any]:
        """A script's ``forward_step`` whose losses are measured beside what it does with them."""

        @functools.wraps(forward_step)
        def measured(data_iterator: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
            seen: dict[str, Any] = {}

            def remember(module: Any, positional: tuple[Any, ...], named: dict[str, Any]) -> None:
                seen.update(zip(_parameters(module), positional, strict=False))
                seen.update(named)

            handle = model.register_forward_pre_hook(remember, with_kwargs=True)
            try:
                output, loss_func = forward_step(data_iterator, model, *args, **kwargs)
            finally:
                handle.remove()
            return output, self._measuring_loss(loss_func, seen.get("labels"), seen.get("loss_mask"))

        return measured

    def _measuring_loss(self, loss_func: Callable[..., Any], labels: Tensor | None, mask: Tensor | None) -> Any:
        @functools.wraps(loss_func)
        def measured_loss(output: Any, *args: Any, **kwargs: Any) -> Any:
            result = loss_func(output, *args, **kwargs)
            # A call for other data than losses gives something else; labels reach the last pipeline stage only.
            if labels is not None and not kwargs and isinstance(result, tuple) and isinstance(result[-1], dict):
                _require_a_loss_per_label(output, labels)
                self._pass.append(put_by(labels, output, mask, self._seq_length))
                self.measured = True
            return result

        return measured_loss

    def begin_pass(self, step: int) -> None:
        """A forward pass over all micro-batches of a step begins: in place of an earlier one of the same step."""
        self.end_pass(counts=step != self._step)
        self._step = step

    def end_pass(self, counts: bool = True) -> None:
        """Put what the last pass has measured, if it counts, to the sums."""
        if counts:
            self.sums.add(self._pass)
        self._pass = []


def _parameters(model: Any) -> list[str]:
    """The names of what the model itself takes by position, under all that Megatron wraps around it."""
    while isinstance(inner := getattr(model, "module", None), torch.nn.Module):
        model = inner
    parameters = inspect.signature(model.forward).parameters.values()
    return [one.name for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]


def _require_a_loss_per_label(output: Any, labels: Tensor) -> None:
    if not isinstance(output, Tensor) or output.numel() != labels.numel():
        raise UnsupportedError(
            "this script's model does not give back one loss for each label, which bits per byte are made of",
            where="--proxy-compression",
            fix="let forward_step return what Megatron's own GPT model returns when it is given labels",
        )


def over_ranks(sums: Tensor) -> Tensor:
    """The sums of all ranks that hold other samples, or other pieces of them; called by all of the last stage.

    They come back in a tensor of their own, and nobody waits. On other pipeline stages there are no losses, and the
    sums come back as they are.
    """
    from megatron.core import mpu

    total = sums.clone()
    if mpu.is_pipeline_last_stage(ignore_virtual=True):
        torch.distributed.all_reduce(total, group=mpu.get_data_parallel_group(with_context_parallel=True))
    return total
