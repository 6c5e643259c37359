"""Sliding windows: which ids a model reads, and which of them it is scored on, so that each is scored exactly once.

A model predicts at most ``context`` ids in one pass. A longer stream is read in windows that move on by ``stride``: the
first window is scored whole, every further one on its last ``stride`` ids, the rest being context. So a small stride
gives every id a long context, and costs more.

As in training, a window begins with one id that is read and never predicted, the *opener*: the special that was in
force where the window begins (a window inside a raw view is opened by ``<raw>``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..vocab import NUM_SPECIALS


@dataclass(frozen=True)
class IdStream:
    """Ids to be read in order.

    Parameters
    ----------
    ids
        int64, shape (length,).
    opener
        The id read before the first.
    reopen
        Whether a window inside the stream is opened by the special in force; else (mode ``vanilla``, where there are
        no sentinels) by the id before it.
    """

    ids: NDArray[np.int64]
    opener: int
    reopen: bool = True


class Window(NamedTuple):
    """One pass of the model.

    Parameters
    ----------
    inputs, targets
        int64, shape (length,): what is read, and the id after each, which is to be predicted.
    begin
        Place of the first *scored* target in the stream.
    skip
        How many targets come before it, as context only.
    """

    inputs: NDArray[np.int64]
    targets: NDArray[np.int64]
    begin: int
    skip: int


def windows(stream: IdStream, context: int, stride: int) -> Iterator[Window]:
    """The windows of a stream, in order; their scored targets are the stream's ids, each once.

    Parameters
    ----------
    stream
        The ids.
    context
        Most ids that a window may read, which is as many as it predicts.
    stride
        Ids scored in each window after the first, in [1, context].
    """
    length = len(stream.ids)
    openers = _openers(stream)
    done = 0
    while done < length:
        end = min(done + (stride if done else context), length)
        begin = max(0, end - context)
        inputs = np.concatenate((openers[begin : begin + 1], stream.ids[begin : end - 1]))
        yield Window(inputs, stream.ids[begin:end], done, done - begin)
        done = end


def _openers(stream: IdStream) -> NDArray[np.int64]:
    """What opens a window at each place of the stream."""
    before = np.concatenate(([stream.opener], stream.ids[:-1]))
    if not stream.reopen:
        return before
    places = np.arange(len(before))
    return before[np.maximum.accumulate(np.where(before < NUM_SPECIALS, places, 0))]
