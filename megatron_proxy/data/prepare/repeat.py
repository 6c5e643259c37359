"""Same bytes, same codes: a compressor that gives some documents two encodings is refused.

What draws at random, or goes by the order of a set or the time of day, makes other codes in every process and every
run: a view that nobody can make again, and a model that learns several names for one thing. It is found by asking
twice: a worker and this process, the same compressor again, and a copy of it as the manifest would restore it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate, pairwise
from typing import Final

from ...common.parallel import Workers
from ...compressors import Compressor
from ...errors import CompressorError
from .units import Units, units_of

_PROSE: Final = (
    "The quick brown fox jumps over the lazy dog, and 12,345 others: naïve café, Straße, привет, 日本語, 🦊.\n"
)
_CODE: Final = "def area(width, height):\n    # Nothing to see here.\n    return width * height + int('0x1f', 16)\n\n"
SAMPLES: Final = (
    *[text.encode() * times for text in (_PROSE, _CODE) for times in (1, 40)],
    (_PROSE + _CODE).encode() * 9,
    bytes(range(256)),
    b"",
)
"""Documents for the time when the corpus is not read yet."""


def check_samples(compressor: Compressor, workers: int, preload: Sequence[str] = ()) -> None:
    """Refuse a compressor that gives :data:`SAMPLES` two encodings, or cannot encode them (CompressorError).

    A worker process comes first: a library that crashes ends the worker, not this process.
    """
    # The first workers of a process decide what later ones find loaded.
    modules = [f"{__package__}.{name}" for name in ("raw_view", "encode", "repeat")]
    with Workers(partial(_encoder, compressor), min(workers, 1), [*modules, *preload]) as pool:
        (first,) = pool.map([list(SAMPLES)])
    check_repeats(compressor, SAMPLES, first)


def _encoder(compressor: Compressor) -> Callable[[list[bytes]], list[Units]]:
    return partial(units_of, compressor)


def check_repeats(compressor: Compressor, documents: Sequence[bytes], first: Sequence[Units]) -> None:
    """Refuse a compressor that encodes documents in another way than it did before (CompressorError).

    ``first`` is what it made of them then, and perhaps of others behind them.
    """
    if not documents:
        return
    expected = [_each(units, len(documents)) for units in first]
    restored = type(compressor).from_config(compressor.config(), compressor.files())
    # Twice the same: what counts its calls begins anew in the copy, and in the worker.
    for other in (compressor, compressor, restored):
        found = [_each(units, len(documents)) for units in units_of(other, list(documents))]
        if found != expected:
            raise CompressorError(
                f"compressor {compressor.name!r} gives the same bytes two encodings",
                fix="turn off what draws at random in it, or depends on the time, the process or the order of a set",
            )


def _each(units: Units, count: int) -> list[bytes]:
    """The units of each of the first documents, as bytes."""
    content, lengths = units
    width = len(content) // max(1, int(lengths.sum(dtype="int64")))
    ends = accumulate((lengths[:count].astype("int64") * width).tolist(), initial=0)
    return [content[begin:end] for begin, end in pairwise(ends)]
