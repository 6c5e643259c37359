"""Writing raw bytes with a trained model, streaming and in batches.

A prompt is read as in training, behind ``<raw>``. Only bytes and the ends of a document (``</raw>``, eos) can be
chosen, so neither a symbol nor another special is ever written.

==============  =================================================================
utf8.py         which bytes can follow, so that what is written is valid UTF-8
sampling.py     from logits to the next id
completion.py   one sequence: what was written, what can be shown, when it ends
reading.py      logits of what follows, with or without the cache
drafts/         bytes that may follow, of which a pass reads several at once
stream.py       the loop, over batches
==============  =================================================================
"""

from __future__ import annotations

from .completion import Completion, Limits
from .drafts import Draft, Drafting, First, Lookup, Strings
from .sampling import Sampling
from .stream import generate, stream

__all__ = ["Completion", "Draft", "Drafting", "First", "Limits", "Lookup", "Sampling", "Strings", "generate", "stream"]
