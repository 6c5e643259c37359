"""The options that the compressors with a language model share, and the way from them to a trained predictor.

They are checked, with what they need on this machine, before the corpus is opened (:func:`learning_options`).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from ...common import extras
from ...common.files import require_file
from ...errors import CompressorError
from .. import checks
from ..base import Option
from ..byte_lm.predict import CountPredictor, MixedPredictor, Predictor
from .longest_match import ROUNDS, SAMPLE_BYTES
from .trie import MAX_ROUNDS, learn, symbol_starts

if TYPE_CHECKING:
    from ..byte_lm.training import Settings

BORDER: Final = Option(
    "border", float, 0.0, "no symbol goes on where the next byte's entropy is above so many bits; 0 for no such border"
)
EDITS: Final = Option(
    "edits",
    float,
    0.0,
    "share of bytes at which other text leaves the corpus's ways; the higher, the shorter and more general the strings",
)
LM_OPTIONS: Final[tuple[Option, ...]] = (
    Option("size", int, 256, "units of each layer of the language model"),
    Option("layers", int, 1, "recurrent layers of the language model"),
    Option("context", int, 12, "longest string that the language model learns from, in bytes"),
    Option("batch", int, 128, "windows per training step"),
    Option("steps", int, 2_000, "training steps, at most; training stops when the held-out loss no longer falls"),
    Option("learning-rate", float, 3e-3, "highest learning rate"),
    Option("seed", int, 0, "seed of weights and windows"),
    Option("device", str, "cpu", "torch's name of the device to train on"),
    Option("checkpoint", str, None, "file for the state of the training; one that exists is gone on from"),
    ROUNDS,
    SAMPLE_BYTES,
)


def counts_option(default: float) -> Option:
    """How much of each prediction is counted, not said by the model."""
    text = "weight of the sample's own counts in each prediction, the language model has the rest; 1 needs no model"
    return Option("counts", float, default, text)


def temperature_option(default: float) -> Option:
    """How much flatter than it learnt to be the model is made when it is compiled."""
    text = "what the language model's logits are divided by when it is compiled; above 1: strings more general, shorter"
    return Option("temperature", float, default, text)


# More starts than this say nothing new: evenly spaced ones are taken, which bounds memory.
_MAX_STARTS: Final = 1 << 24
# The strings whose starts count in later rounds: how many, and how long at most.
_STRINGS: Final = (65_280, 64)


def border_option(options: Mapping[str, Any], compressor: str) -> float | None:
    """The entropy above which no symbol goes on, in bits; None for none."""
    return checks.number(options, compressor, "border", 0.0, 8.0) or None


def edits_option(options: Mapping[str, Any], compressor: str) -> float:
    """The share of bytes at which a text goes on in an unknown way."""
    return checks.number(options, compressor, "edits", 0.0, 0.5)


@dataclass(frozen=True)
class Learning:
    """How a predictor is learnt.

    Parameters
    ----------
    compressor
        Whose predictor it is, as progress tells.
    counts
        Weight of the sample's own counts; 1 needs no model.
    temperature
        How much flatter the model is made.
    rounds
        See the option ``rounds``.
    settings
        The training of the model; None where no model is needed.
    checkpoint
        Where the state of the training is kept, if anywhere.
    """

    compressor: str
    counts: float
    temperature: float
    rounds: int
    settings: Settings | None
    checkpoint: Path | None

    def predictor(self, data: NDArray[np.uint8], ends: NDArray[np.int64]) -> Predictor:
        """What is learnt from a sample: its bytes, and where its segments end. Progress goes to standard error."""
        starts = _starts(data, ends, self.rounds)
        counts = CountPredictor(data, ends, starts)
        if self.settings is None:
            return counts
        from ..byte_lm.network import LmPredictor
        from ..byte_lm.training import Sample, train

        def report(line: str) -> None:
            print(f"{self.compressor}: {line}", file=sys.stderr, flush=True)

        trained = train(Sample(data, ends, starts), self.settings, report, self.checkpoint)
        model = LmPredictor(trained, self.temperature)
        return MixedPredictor(counts, model, self.counts) if self.counts > 0.0 else model


def learning_options(options: Mapping[str, Any], compressor: str) -> Learning:
    """What the options ask for.

    Raises
    ------
    CompressorError
        An option out of range, torch or the device that is not here.
    ConfigurationError
        A checkpoint that could not be written.
    """
    share = checks.number(options, compressor, "counts", 0.0, 1.0)
    checkpoint = None if options["checkpoint"] is None else Path(options["checkpoint"])
    if checkpoint is not None:
        require_file(checkpoint, overwrite=True, flag=f"--{compressor}-checkpoint")
    return Learning(
        compressor,
        share,
        checks.number(options, compressor, "temperature", 0.1, 10.0),
        checks.option(options, compressor, "rounds", 1, MAX_ROUNDS),
        _lm_settings(options, compressor) if share < 1.0 else None,
        checkpoint,
    )


def _starts(data: NDArray[np.uint8], ends: NDArray[np.int64], rounds: int) -> NDArray[np.int32]:
    """Where the strings start that are learnt from (int32, rising): see the option ``rounds``."""
    if rounds > 1:
        starts = symbol_starts(learn(data, ends, *_STRINGS, rounds - 1), data, ends)
    else:
        starts = np.arange(len(data), dtype=np.int32)
    return starts[:: -(-len(starts) // _MAX_STARTS) or 1]


def _lm_settings(options: Mapping[str, Any], compressor: str) -> Settings:
    """The settings of the training. Imports torch."""
    try:
        from ..byte_lm.network import Shape
        from ..byte_lm.training import Settings, check_device
    except ImportError as error:
        raise CompressorError(
            f"training a language model needs torch, which cannot be imported ({error})",
            fix=f"{extras.install('train')}, or give --{compressor}-counts 1",
        ) from error
    check_device(str(options["device"]), f"--{compressor}-device")
    return Settings(
        Shape(
            checks.option(options, compressor, "size", 1, 1 << 14),
            checks.option(options, compressor, "layers", 1, 64),
        ),
        checks.option(options, compressor, "context", 1, 1 << 10),
        checks.option(options, compressor, "batch", 1, 1 << 20),
        checks.option(options, compressor, "steps", 1, 1 << 40),
        checks.number(options, compressor, "learning-rate", 1e-9, 10.0),
        device=str(options["device"]),
        seed=checks.option(options, compressor, "seed", 0, 2**63 - 1),
    )
