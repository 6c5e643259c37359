"""Writing raw bytes with a trained model, streaming and in batches.

A prompt is read as in training, behind ``<raw>``. Only bytes and the ends of a document (``</raw>``, eos) can be
chosen, so neither a symbol nor another special is ever written.

==============  =================================================================
utf8.py         which bytes can follow, so that what is written is valid UTF-8
sampling.py     from logits to the next id
completion.py   one sequence: what was written, what can be shown, when it ends
stream.py       the loop, over batches, with or without the cache
==============  =================================================================
"""

from __future__ import annotations

from .completion import Completion, Limits
from .sampling import Sampling
from .stream import generate, stream

__all__ = ["Completion", "Limits", "Sampling", "generate", "stream"]
