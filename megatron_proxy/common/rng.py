"""A counter-based random generator: the value for counter *k* needs no other value.

Every random decision of the data path (which format, which order, which span) is read from here, keyed by
(seed, purpose, …) and a counter. So nothing depends on the order of access, on workers, ranks or restarts, nor on
the numpy version: numpy promises stable streams for its bit generators only, not for ``shuffle`` or ``permutation``.

The mixing function is the finaliser of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
generators", OOPSLA 2014) over a Weyl sequence, which is that paper's generator read at any position.
"""

from __future__ import annotations

import itertools
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

GOLDEN_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_CHUNK: Final = 1 << 18


class Purpose(IntEnum):
    """What a stream of random numbers is for; streams of different purposes are independent."""

    DOCUMENT_ORDER = 1
    DRAW_FORMAT = 2
    PAIR_ORDER = 3
    SPAN_FORMAT = 4
    WINDOW_ORDER = 5
    CORPUS_SAMPLE = 6
    STABILITY = 7
    COMPRESSOR = 8
    SAMPLING = 9
    PERTURBATION = 10
    NEW_ROWS = 11


def mix[State: (np.uint64, NDArray[np.uint64])](state: State) -> State:
    """Spread the bits of a state over all 64; integers overflow in it, and numba can compile it."""
    state = (state ^ (state >> np.uint64(30))) * _MIX_1
    state = (state ^ (state >> np.uint64(27))) * _MIX_2
    return state ^ (state >> np.uint64(31))


def key(seed: int, purpose: Purpose, *parts: int) -> np.uint64:
    """The key of one stream.

    Parameters
    ----------
    seed
        The run's seed; any Python integer, taken modulo 2^64.
    purpose
        What the stream is for.
    parts
        Further coordinates, such as an epoch or a block number.
    """
    state = np.uint64(0)
    for part in (seed, int(purpose), *parts):
        (state,) = subkeys(state, [part % 2**64])
    return state


def bits(stream: np.uint64 | NDArray[np.uint64], counters: ArrayLike) -> NDArray[np.uint64]:
    """Random 64-bit integers at ``counters``.

    Parameters
    ----------
    stream
        A key, or an array of keys that broadcasts with ``counters``.
    counters
        Integers >= 0.

    Returns
    -------
    uint64 array of the broadcast shape.
    """
    counters = np.asarray(counters, dtype=np.uint64)
    with np.errstate(over="ignore"):
        return mix(np.asarray(stream) + (counters + np.uint64(1)) * GOLDEN_GAMMA)


def uniform(stream: np.uint64 | NDArray[np.uint64], counters: ArrayLike) -> NDArray[np.float64]:
    """Random float64 in [0, 1) with 53 random bits, at ``counters``."""
    return (bits(stream, counters) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def subkeys(stream: np.uint64, parts: ArrayLike) -> NDArray[np.uint64]:
    """Many keys at once: ``subkeys(key(seed, purpose), [p])[0] == key(seed, purpose, p)``, for integers p >= 0."""
    parts = np.asarray(parts, dtype=np.uint64)
    with np.errstate(over="ignore"):
        return mix((parts ^ stream) + GOLDEN_GAMMA)


def permutation(stream: np.uint64, size: int) -> NDArray[np.int32]:
    """A random order of ``range(size)``, for sizes up to 2^31: the stable argsort of ``size`` random integers.

    Returns
    -------
    int32 array of shape (size,); little memory is needed beside it.
    """
    if size <= _CHUNK:
        return np.argsort(bits(stream, np.arange(size)), kind="stable").astype(np.int32)
    # A radix sort by the highest byte first, then each bucket on its own, so that no array of all keys is needed.
    order, bounds = _buckets(stream, size)
    for begin, end in itertools.pairwise(bounds.tolist()):
        bucket = order[begin:end]
        bucket[:] = bucket[_stable_argsort(bits(stream, bucket))]
    return order


def permutations(streams: NDArray[np.uint64], size: int) -> NDArray[np.int64]:
    """Row i is ``permutation(streams[i], size)``: int64, shape (len(streams), size); meant for small sizes."""
    return np.argsort(bits(streams[:, None], np.arange(size)[None, :]), axis=1, kind="stable")


def _buckets(stream: np.uint64, size: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """``range(size)`` sorted stably by the highest byte of its bits, and the 257 bounds of the buckets."""
    chunks = range(0, size, _CHUNK)
    counts = np.zeros(256, dtype=np.int64)
    for begin in chunks:
        counts += np.bincount(_highest_byte(stream, begin, size), minlength=256)
    bounds = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts)])
    order = np.empty(size, dtype=np.int32)
    heads = bounds[:-1].copy()
    for begin in chunks:
        highest = _highest_byte(stream, begin, size)
        ranked = np.argsort(highest, kind="stable")
        counts = np.bincount(highest, minlength=256)
        ends = np.cumsum(counts)
        for bucket in np.flatnonzero(counts):
            part = ranked[ends[bucket] - counts[bucket] : ends[bucket]]
            order[heads[bucket] : heads[bucket] + len(part)] = part + begin
        heads += counts
    return order, bounds


def _highest_byte(stream: np.uint64, begin: int, size: int) -> NDArray[np.uint8]:
    counters = np.arange(begin, min(begin + _CHUNK, size))
    return (bits(stream, counters) >> np.uint64(56)).astype(np.uint8)


def _stable_argsort(values: NDArray[np.uint64]) -> NDArray[np.int64]:
    """The stable argsort, by the faster unstable one where all values differ (as good as always)."""
    order = np.argsort(values)
    ranked = values[order]
    return np.argsort(values, kind="stable") if (ranked[1:] == ranked[:-1]).any() else order
