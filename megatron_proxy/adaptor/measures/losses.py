"""Bits per source byte of each view, in Megatron's log lines, TensorBoard and W&B.

``raw bpb`` is the nats of all raw-view bytes ÷ ln 2 ÷ their number; ``compressed bpb`` the nats of all labels in
compressed views (symbols, and literal bytes if there are any) ÷ ln 2 ÷ the source bytes that they stand for. Specials
count in neither; masked labels (padding) do not count at all.

Sums are exact over micro-batches, ranks and the iterations of a logging interval: each micro-batch puts four sums into
the report that Megatron collects, and they are taken out again before Megatron averages it. So an interval without one
view prints nothing for that view, where Megatron's own mean would be 0 ÷ 0. A forward pass that is run again replaces
the sums of the first try.

The four sums are float64: nats and bytes of the raw view, nats and source bytes of the compressed view.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import torch
from torch import Tensor

from ... import vocab
from ...vocab import NUM_SPECIALS
from . import context, formats

KEYS: Final = ("raw bpb", "compressed bpb")
_SUMS: Final = "megatron_proxy sums"


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
    # A masked loss may be anything, and NaN times 0 is NaN.
    nats = torch.where(counts, losses.detach().reshape(labels.shape).double(), 0.0)
    stands_for = torch.where(counts, source_bytes[labels], 0.0)
    return torch.stack(
        [torch.where(view, values, 0.0).sum() for view in (~compressed, compressed) for values in (nats, stands_for)]
    )


def bits_per_byte(sums: Tensor) -> dict[str, float]:
    """``raw bpb`` and ``compressed bpb`` from the four sums; a view that did not occur is left out."""
    raw_nats, raw_bytes, nats, source_bytes = sums.tolist()
    values = (vocab.bits_per_byte(raw_nats, raw_bytes), vocab.bits_per_byte(nats, source_bytes))
    return {key: value for key, value in zip(KEYS, values, strict=True) if value is not None and math.isfinite(value)}


class Meter:
    """The four sums of one process, from the forward pass to the log.

    Parameters
    ----------
    source_bytes
        float64, shape (ids,), on the device of the labels.
    seq_length
        Labels per window: some batches arrive with their windows laid end to end.
    """

    def __init__(self, source_bytes: Tensor, seq_length: int) -> None:
        self._source_bytes = source_bytes
        self._seq_length = seq_length
        self._iteration = self._zeros()
        self._evaluation: Tensor | None = None

    def _zeros(self) -> Tensor:
        return torch.zeros(4, dtype=torch.float64, device=self._source_bytes.device)

    def measuring(self, forward_step: Callable[..., Any]) -> Callable[..., Any]:
        """A script's ``forward_step`` whose losses bring the four sums along in their report."""

        @functools.wraps(forward_step)
        def measured(data_iterator: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
            seen: dict[str, Any] = {}

            def remember(module: Any, positional: Any, named: dict[str, Any]) -> None:
                seen.update(named)

            handle = model.register_forward_pre_hook(remember, with_kwargs=True)
            try:
                output, loss_func = forward_step(data_iterator, model, *args, **kwargs)
            finally:
                handle.remove()
            return output, self._with_sums(loss_func, seen.get("labels"), seen.get("loss_mask"))

        return measured

    def _with_sums(self, loss_func: Callable[..., Any], labels: Tensor | None, mask: Tensor | None) -> Any:
        @functools.wraps(loss_func)
        def loss_with_sums(output: Any, *args: Any, **kwargs: Any) -> Any:
            result = loss_func(output, *args, **kwargs)
            # A call for other data than losses gives something else; labels reach the last pipeline stage only.
            if labels is None or kwargs or not isinstance(result, tuple) or not isinstance(result[-1], dict):
                return result
            windows = context.as_windows(labels, self._seq_length)
            return *result[:-1], {**result[-1], _SUMS: view_sums(windows, output, mask, self._source_bytes)}

        return loss_with_sums

    def collect(self, reports: Sequence[Any]) -> None:
        """Take the sums out of the reports of one forward pass over all its micro-batches."""
        total = self._zeros()
        for report in reports:
            if isinstance(report, dict) and _SUMS in report:
                total += report.pop(_SUMS)
        if self._evaluation is None:
            self._iteration = total
        else:
            self._evaluation += total

    def take_iteration(self) -> Tensor:
        """The sums of the last training iteration, once."""
        taken, self._iteration = self._iteration, self._zeros()
        return taken

    def begin_evaluation(self) -> None:
        """From here on sums are those of an evaluation."""
        self._evaluation = self._zeros()

    def end_evaluation(self) -> Tensor:
        """The sums since :meth:`begin_evaluation`."""
        taken = self._zeros() if self._evaluation is None else self._evaluation
        self._evaluation = None
        return taken


def over_ranks(sums: Tensor) -> Tensor:
    """The sums of all ranks that hold other samples, or other pieces of them; called by all of the last stage.

    On other pipeline stages there are no losses, and the sums come back as they are.
    """
    from megatron.core import mpu

    total = sums.clone()
    if mpu.is_pipeline_last_stage(ignore_virtual=True):
        torch.distributed.all_reduce(total, group=mpu.get_data_parallel_group(with_context_parallel=True))
    return total
