"""The options that the compressors with a language model share, and the way from them to a trained predictor.

What they need on this machine is looked at before the corpus is opened (:func:`learner`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import numpy as np
from numpy.typing import NDArray

from ...common import extras
from ...common.storage.files import require_file
from ...errors import CompressorError
from ..byte_lm.predict import CountPredictor, MixedPredictor, Predictor
from ..options import Options, Setting
from .longest_match import Rounds, SampleBytes
from .trie import learn, symbol_starts

if TYPE_CHECKING:
    from ..byte_lm.training import TrainingSettings

Border = Annotated[
    float,
    Setting("no symbol goes on where the next byte's entropy is above so many bits; 0 for no such border", 0.0, 8.0),
]
Counts = Annotated[
    float,
    Setting(
        "weight of the sample's own counts in each prediction, the language model has the rest; 1 needs no model",
        0.0,
        1.0,
    ),
]
Temperature = Annotated[
    float,
    Setting(
        "what the language model's logits are divided by when it is compiled; above 1: strings more general, shorter",
        0.1,
        10.0,
    ),
]


@dataclass(frozen=True)
class LmOptions(Options):
    """What can be set of a predictor and of the training of its model."""

    counts: Counts = 1.0
    temperature: Temperature = 1.0
    size: Annotated[int, Setting("units of each layer of the language model", 1, 1 << 14)] = 256
    layers: Annotated[int, Setting("recurrent layers of the language model", 1, 64)] = 1
    context: Annotated[int, Setting("longest string that the language model learns from, in bytes", 1, 1 << 10)] = 12
    batch: Annotated[int, Setting("windows per training step", 1, 1 << 20)] = 128
    steps: Annotated[
        int, Setting("training steps, at most; training stops when the held-out loss no longer falls", 1, 1 << 40)
    ] = 2_000
    learning_rate: Annotated[float, Setting("highest learning rate", 1e-9, 10.0)] = 3e-3
    seed: Annotated[int, Setting("seed of weights and windows", 0, 2**63 - 1)] = 0
    device: Annotated[str, Setting("torch's name of the device to train on")] = "cpu"
    checkpoint: Annotated[
        str | None, Setting("file for the state of the training; one that exists is gone on from")
    ] = None
    rounds: Rounds = 1
    sample_bytes: SampleBytes = 64 << 20


# More starts than this say nothing new: evenly spaced ones are taken, which bounds memory.
_MAX_STARTS: Final = 1 << 24
# The strings whose starts count in later rounds: how many, and how long at most.
_STRINGS: Final = (65_280, 64)


def learner(options: LmOptions, compressor: str) -> Callable[[NDArray[np.uint8], NDArray[np.int64]], Predictor]:
    """What learns a predictor from a sample: its bytes, and where its segments end. Progress goes to standard error.

    Raises
    ------
    CompressorError
        Torch or the device is not here.
    ConfigurationError
        A checkpoint that could not be written.
    """
    checkpoint = None if options.checkpoint is None else Path(options.checkpoint)
    if checkpoint is not None:
        require_file(checkpoint, overwrite=True, flag=f"--{compressor}-checkpoint")
    training = _lm_settings(options, compressor) if options.counts < 1.0 else None

    def report(line: str) -> None:
        print(f"{compressor}: {line}", file=sys.stderr, flush=True)

    def learn_predictor(data: NDArray[np.uint8], ends: NDArray[np.int64]) -> Predictor:
        starts = _starts(data, ends, options.rounds)
        counts = CountPredictor(data, ends, starts)
        if training is None:
            return counts
        from ..byte_lm.network import LmPredictor
        from ..byte_lm.training import Sample, train

        model = LmPredictor(train(Sample(data, ends, starts), training, report, checkpoint), options.temperature)
        return MixedPredictor(counts, model, options.counts) if options.counts > 0.0 else model

    return learn_predictor


def _starts(data: NDArray[np.uint8], ends: NDArray[np.int64], rounds: int) -> NDArray[np.int32]:
    """Where the strings start that are learnt from (int32, rising): see the option ``rounds``."""
    if rounds > 1:
        starts = symbol_starts(learn(data, ends, *_STRINGS, rounds - 1), data, ends)
    else:
        starts = np.arange(len(data), dtype=np.int32)
    return starts[:: -(-len(starts) // _MAX_STARTS) or 1]


def _lm_settings(options: LmOptions, compressor: str) -> TrainingSettings:
    """The settings of the training. Imports torch."""
    try:
        from ..byte_lm.network import Shape
        from ..byte_lm.training import TrainingSettings, check_device
    except ImportError as error:
        raise CompressorError(
            f"training a language model needs torch, which cannot be imported ({error})",
            fix=f"{extras.install('train')}, or give --{compressor}-counts 1",
        ) from error
    check_device(options.device, f"--{compressor}-device")
    return TrainingSettings(
        Shape(options.size, options.layers),
        options.context,
        options.batch,
        options.steps,
        options.learning_rate,
        device=options.device,
        seed=options.seed,
    )
