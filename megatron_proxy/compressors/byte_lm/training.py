"""Training the byte LM: windows of a sample that start where symbols start, held-out loss, checkpoint, early stop."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ...common import rng
from ...common.rng import Purpose
from ...errors import CompressorError
from ...vocab import NUM_BYTES
from .checkpoint import State, identity_of
from .network import START, ByteLM, Shape

# One stretch of the sample in so many is held out to measure the loss on.
_HELD_OUT_OF: Final = 32
_STRETCH_BYTES: Final = 1 << 14
_HELD_OUT_WINDOWS: Final = 2_048
_WARMUP_STEPS: Final = 100
_FINAL_RATE: Final = 0.1


@dataclass(frozen=True)
class TrainingSettings:
    """How to train: for what a user sets of it see :mod:`megatron_proxy.compressors.strings.neural_options`.

    The learning rate is the highest: it rises over the first 100 steps and falls by a cosine to a tenth. The held-out
    loss is measured, and a checkpoint written, every ``evaluate_every`` steps; training stops after ``patience``
    measurements without a lower one.
    """

    shape: Shape
    context: int
    batch: int
    steps: int
    learning_rate: float
    evaluate_every: int = 200
    patience: int = 8
    device: str = "cpu"
    seed: int = 0


@dataclass(frozen=True)
class Sample:
    """What to learn from: bytes (uint8), the ends of its segments (int64), and where windows start (int32)."""

    data: NDArray[np.uint8]
    ends: NDArray[np.int64]
    starts: NDArray[np.int32]

    def windows(self, picks: NDArray[np.int64], context: int) -> tuple[Tensor, Tensor]:
        """Inputs and labels of the windows that start at ``starts[picks]``: int64, shape (windows, context).

        The label is -1 beyond the window's segment.
        """
        starts = self.starts[picks].astype(np.int64)
        stops = self.ends[np.searchsorted(self.ends, starts, side="right")]
        places = starts[:, None] + np.arange(context)
        labels = self.data[np.minimum(places, len(self.data) - 1)].astype(np.int64)
        inputs = np.concatenate([np.full((len(starts), 1), START), labels[:, :-1]], axis=1)
        labels[places >= stops[:, None]] = -1
        return torch.from_numpy(inputs), torch.from_numpy(labels)

    def split(self) -> tuple[Sample, Sample]:
        """The part to train on and the part that is held out; both are everything if there is too little."""
        held_out = self.starts // _STRETCH_BYTES % _HELD_OUT_OF == _HELD_OUT_OF - 1
        if held_out.all() or not held_out.any():
            return self, self
        return Sample(self.data, self.ends, self.starts[~held_out]), Sample(self.data, self.ends, self.starts[held_out])


def train(
    sample: Sample, settings: TrainingSettings, report: Callable[[str], None], checkpoint: Path | None = None
) -> ByteLM:
    """A model with the weights of the lowest held-out loss.

    The same machine, seed and sample give the same weights, interrupted and resumed or not: windows are drawn by step
    number, and the checkpoint holds everything else.

    Raises
    ------
    CompressorError
        Nothing to learn from, or a checkpoint of another training.
    """
    if not len(sample.starts):
        raise CompressorError("the corpus is empty: there is nothing to train a language model on")
    training, held_out = sample.split()
    model = ByteLM(settings.shape, settings.seed).to(settings.device)
    state = State(model, torch.optim.Adam(model.parameters(), lr=settings.learning_rate))
    identity = identity_of(asdict(settings), sample.data, sample.ends, sample.starts)
    if checkpoint is not None and checkpoint.exists():
        state.restore(checkpoint, identity)
        report(f"goes on from step {state.step:,} of {checkpoint}")
    clock = time.monotonic()
    with _deterministic():
        while state.step < settings.steps and state.misses < settings.patience:
            loss = _step(state, training, settings)
            if state.step % settings.evaluate_every == 0 or state.step == settings.steps:
                state.evaluated(_held_out_loss(state.model, held_out, settings))
                report(_line(state, settings, loss, clock))
                if checkpoint is not None:
                    state.save(checkpoint, identity)
    state.model.load_state_dict(state.best)
    return state.model


def check_device(name: str, flag: str) -> None:
    """Refuse, with a CompressorError that names ``flag``, a device that torch cannot use."""
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        what = f"torch cannot use the device {name!r}: {str(error).splitlines()[0]}"
        raise CompressorError(what, where=flag) from error


def _step(state: State, sample: Sample, settings: TrainingSettings) -> float:
    """One step of the optimizer; returns the loss in bits per byte."""
    counters = np.arange(state.step * settings.batch, (state.step + 1) * settings.batch)
    draws = rng.uniform(rng.key(settings.seed, Purpose.COMPRESSOR, 1), counters)
    for group in state.optimizer.param_groups:
        group["lr"] = settings.learning_rate * _rate(state.step, settings.steps)
    state.model.train()
    loss = _loss(state.model, sample, (draws * len(sample.starts)).astype(np.int64), settings)
    state.optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(state.model.parameters(), 1.0)
    state.optimizer.step()
    state.step += 1
    return loss.item() / math.log(2)


def _rate(step: int, steps: int) -> float:
    """The share of the learning rate at a step: linear up, cosine down."""
    cosine = 0.5 * (1.0 + math.cos(math.pi * step / steps))
    return min(1.0, (step + 1) / _WARMUP_STEPS) * (_FINAL_RATE + (1.0 - _FINAL_RATE) * cosine)


def _loss(model: ByteLM, sample: Sample, picks: NDArray[np.int64], settings: TrainingSettings) -> Tensor:
    """Mean nats per byte of some windows."""
    inputs, labels = sample.windows(picks, settings.context)
    logits, _ = model(inputs.to(settings.device))
    return functional.cross_entropy(logits.reshape(-1, NUM_BYTES), labels.to(settings.device).ravel(), ignore_index=-1)


@torch.no_grad()
def _held_out_loss(model: ByteLM, sample: Sample, settings: TrainingSettings) -> float:
    """Bits per byte of evenly spaced held-out windows."""
    model.eval()
    picks = np.unique(np.linspace(0, len(sample.starts) - 1, _HELD_OUT_WINDOWS).astype(np.int64))
    parts = np.array_split(picks, -(-len(picks) // settings.batch))
    nats = sum(float(_loss(model, sample, part, settings)) * len(part) for part in parts)
    return nats / len(picks) / math.log(2)


def _line(state: State, settings: TrainingSettings, loss: float, clock: float) -> str:
    seconds = time.monotonic() - clock
    return (
        f"step {state.step:,}/{settings.steps:,}: {loss:.3f} bits per byte, held out {state.best_loss:.3f} at best, "
        f"{state.misses} of {settings.patience} without a lower one, {seconds:.0f} s"
    )


@contextmanager
def _deterministic() -> Iterator[None]:
    """Torch's deterministic algorithms inside the block; what was set before comes back."""
    before = torch.are_deterministic_algorithms_enabled()
    # Read by cuBLAS when it starts.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
