"""A small language model over bytes, read from the start of a window.

It needs torch, so nothing here is imported when a view is made: a trained model is compiled into a trie
(:mod:`megatron_proxy.compressors.strings.enumerate_strings`) and left behind.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...common import rng
from ...common.rng import Purpose
from ...vocab import NUM_BYTES
from .predict import quantised

START = NUM_BYTES
"""The input before a window's first byte."""

# Strings evaluated at a time when a model is compiled: bounds memory.
_ROWS = 4_096


@dataclass(frozen=True)
class Shape:
    """Size of a model: units of each recurrent layer, and number of layers."""

    size: int
    layers: int


class ByteLM(nn.Module):
    """Gated recurrent layers between an embedding and a distribution over the next byte.

    Recurrent, so that a string's state is all that its extensions need: compiling visits each string once. Weights are
    drawn from the package's own generator, so that a seed gives the same ones with every version of torch.
    """

    def __init__(self, shape: Shape, seed: int = 0) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(NUM_BYTES + 1, shape.size)
        self.recurrent = nn.GRU(shape.size, shape.size, shape.layers, batch_first=True)
        self.output = nn.Linear(shape.size, NUM_BYTES)
        bound = shape.size**-0.5
        with torch.no_grad():
            for number, parameter in enumerate(self.parameters()):
                draws = rng.uniform(rng.key(seed, Purpose.COMPRESSOR, 0, number), np.arange(parameter.numel()))
                parameter.copy_(torch.from_numpy((2.0 * draws - 1.0) * bound).reshape(parameter.shape))

    def forward(self, inputs: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Logits of the next byte after each input, and the state after the last.

        Parameters
        ----------
        inputs
            int64, shape (windows, length): bytes, or :data:`START` before a window's first byte.
        state
            float, shape (layers, windows, size); zeros if not given.

        Returns
        -------
        Logits, shape (windows, length, 256), and state, shape (layers, windows, size).
        """
        hidden, state = self.recurrent(self.embedding(inputs), state)
        return self.output(hidden), state


class LmPredictor:
    """A trained model as a predictor of next bytes; see :class:`.predict.Predictor`.

    Evaluates in float64: how many strings are evaluated at a time changes the last bits of a float, and these are then
    far below what the integer frequencies keep.

    Parameters
    ----------
    model
        Trained; it is moved to the CPU.
    temperature
        What logits are divided by: above 1, what is likely becomes less so, and what is unlikely more.
    """

    def __init__(self, model: ByteLM, temperature: float = 1.0) -> None:
        self._model = model.to(dtype=torch.float64, device="cpu").eval()
        self._temperature = temperature
        self.start()

    def start(self) -> None:
        """Go back to the empty string."""
        shape = self._model.shape
        self._state = torch.zeros(shape.layers, 1, shape.size, dtype=torch.float64)
        self.descend(np.zeros(1, dtype=np.int64), np.array([START]))

    def frequencies(self) -> NDArray[np.int64]:
        """How often each byte follows each string: int64, shape (strings, 256)."""
        return self._frequencies

    @torch.no_grad()
    def descend(self, rows: NDArray[np.int64], labels: NDArray[np.integer]) -> None:
        """Go on to the strings ``rows`` with one more byte each."""
        states, found = [], []
        for begin in range(0, len(rows), _ROWS):
            part = slice(begin, begin + _ROWS)
            state = self._state[:, torch.from_numpy(rows[part])]
            ids = torch.from_numpy(labels[part].astype(np.int64))[:, None]
            logits, state = self._model(ids, state.contiguous())
            states.append(state)
            found.append(quantised(torch.softmax(logits[:, 0] / self._temperature, dim=-1).numpy()))
        self._state = torch.cat(states, dim=1) if states else self._state[:, :0]
        self._frequencies = np.concatenate(found) if found else np.empty((0, NUM_BYTES), dtype=np.int64)
