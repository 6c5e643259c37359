"""What users see of a compressor that learns: how far the corpus is read, what came of it, whether that was enough."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final

from ...common.progress import DEFAULT_LOG_INTERVAL, Progress
from ...vocab import Vocabulary
from ..corpus import AS_THEY_ARE, Taking, documents, expand
from ..dataset.reader import ViewReader

# The usual shape of a transformer: so many units of width for each layer, whose matrices have 12 width² parameters.
_WIDTH_PER_LAYER: Final = 64
_SQUARES_PER_LAYER: Final = 12
# With three to four bytes a code, a symbol then occurs some thirty times on average.
_LEAST_BYTES_PER_SYMBOL: Final = 100
# A bar that moves for each document would cost more than the reading.
_STEP_BYTES: Final = 1 << 20


class FilesToLearnFrom:
    """The documents of files (see :func:`megatron_proxy.data.corpus.documents`); each reading shows how far it is."""

    def __init__(
        self, inputs: Sequence[str], key: str, *, skip_bad_lines: bool, label: str, taking: Taking = AS_THEY_ARE
    ) -> None:
        self._sources = partial(expand, inputs, taking)
        self._documents = partial(documents, inputs, key, skip_bad_lines=skip_bad_lines, taking=taking)
        self._label = label
        self.bytes = 0
        """How many bytes the documents had at the last reading."""

    def __call__(self) -> Iterator[bytes]:
        """Read from the beginning."""
        self.bytes = 0
        total = sum(file.size for file in self._sources())
        with Progress(self._label, total, log_interval=DEFAULT_LOG_INTERVAL) as progress:

            def advance(count: int, size: int, disk_bytes: int) -> None:
                self.bytes += size
                progress.advance(count, size, disk_bytes)

            yield from self._documents(advance=advance)
        _tell_that_it_learns(self._label)


def view_to_learn_from(raw: ViewReader, label: str, log_interval: int) -> Iterator[bytes]:
    """The documents of a raw view, for a compressor; shows how far it is."""
    with Progress(label, raw.units, log_interval=log_interval) as progress:
        count = size = 0
        for document in raw.read_each(0, len(raw)):
            count, size = count + 1, size + len(document)
            if size >= _STEP_BYTES:
                progress.advance(count, size)
                count = size = 0
            yield document
        progress.advance(count, size)
    _tell_that_it_learns(label)


def _tell_that_it_learns(label: str) -> None:
    """On a terminal: what follows may take a minute, without a bar."""
    if sys.stderr.isatty():
        print(f"{label}: the corpus is read", file=sys.stderr, flush=True)


def rows(vocabulary: Vocabulary, width: int) -> str:
    """How many symbols and ids there are, and how much of a model of this width and the usual depth their rows are."""
    layers = max(1, round(width / _WIDTH_PER_LAYER))
    own = vocabulary.size * width
    total = own + layers * _SQUARES_PER_LAYER * width**2
    return (
        f"{vocabulary.num_symbols:,} symbols, {vocabulary.size:,} ids; in a model of --hidden-size {width} and "
        f"{layers} layers the ids' rows are {own / total:.0%} of {total / 1e6:,.1f} million parameters"
    )


def too_small(corpus_bytes: int, vocabulary: Vocabulary) -> str | None:
    """What is to be said of a corpus that is too small for its symbols to be learnt; None for one that is not."""
    if corpus_bytes >= _LEAST_BYTES_PER_SYMBOL * vocabulary.num_symbols:
        return None
    return (
        f"the corpus is too small to learn {vocabulary.num_symbols:,} symbols from: it has "
        f"{corpus_bytes / vocabulary.num_symbols:,.1f} bytes for each, and {_LEAST_BYTES_PER_SYMBOL} are few; "
        "take a larger one, or a compressor with fewer symbols (gzip and identity have 256)"
    )
