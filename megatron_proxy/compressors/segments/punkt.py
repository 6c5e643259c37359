"""Sentence borders by nltk's Punkt (Kiss and Strunk 2006), trained on the corpus and applied by span.

Megatron's own sentence splitter loses blank lines and needs a download; here the parameters come from the corpus, are
stored as JSON, and a sentence reaches up to the next one's first character, so that no byte is lost.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import CompressorError

_FIELDS = ("abbrev_types", "collocations", "ortho_context", "sent_starters")


class Punkt:
    """Sentence borders of one corpus, from JSON parameters (see :func:`train`).

    Raises
    ------
    CompressorError
        If ``parameters`` is not what :func:`train` makes.
    """

    def __init__(self, parameters: bytes) -> None:
        # nltk takes long to import, and only those who cut sentences need it.
        from nltk.tokenize.punkt import PunktParameters, PunktSentenceTokenizer

        self.parameters = parameters
        try:
            found = json.loads(parameters)
            loaded = PunktParameters()
            loaded.abbrev_types = set(map(str, found["abbrev_types"]))
            loaded.sent_starters = set(map(str, found["sent_starters"]))
            loaded.collocations = {(str(first), str(second)) for first, second in found["collocations"]}
            for word, flags in found["ortho_context"].items():
                loaded.ortho_context[word] = int(flags)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise CompressorError(f"this is not a Punkt model of ours ({type(error).__name__}: {error})") from error
        self._tokenizer: Any = PunktSentenceTokenizer(loaded)

    def ends(self, document: bytes) -> NDArray[np.int64]:
        """Where the sentences end in bytes: int64, the last being ``len(document)``; empty for an empty document.

        Bytes that are not UTF-8 count as one strange character each.
        """
        if not document:
            return np.empty(0, dtype=np.int64)
        text = _text(document)
        starts = [begin for begin, _ in self._tokenizer.span_tokenize(text)]
        in_bytes = _byte_offsets(text)[np.array([*starts[1:], len(text)], dtype=np.int64)]
        return np.unique(in_bytes)


def train(documents: Iterable[bytes]) -> bytes:
    """Learn the sentence borders of a corpus: JSON, the same for the same documents in the same order."""
    from nltk.tokenize.punkt import PunktTrainer

    trainer = PunktTrainer()
    for document in documents:
        trainer.train(_text(document), finalize=False)
    trainer.finalize_training()
    found = trainer.get_params()
    content = {
        "abbrev_types": sorted(found.abbrev_types),
        "collocations": sorted(map(list, found.collocations)),
        "ortho_context": dict(sorted(found.ortho_context.items())),
        "sent_starters": sorted(found.sent_starters),
    }
    return json.dumps(content, separators=(",", ":")).encode("ascii")


def _text(document: bytes) -> str:
    return document.decode("utf-8", "surrogateescape")


def _byte_offsets(text: str) -> NDArray[np.int64]:
    """Offset in bytes of each character of ``text`` and of its end: int64, shape (len(text) + 1,)."""
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    sizes = np.ones(len(points), dtype=np.int64)
    for threshold in (0x80, 0x800, 0x10000):
        sizes += points >= threshold
    sizes[(points >= 0xDC80) & (points <= 0xDCFF)] = 1  # a byte that is not UTF-8, escaped
    return np.concatenate(([0], np.cumsum(sizes)))
