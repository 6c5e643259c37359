"""A set of byte strings closed under prefixes, and the file that holds it.

Strings have numbers: 0 … 255 are the single bytes, which are always there; number 256 + s is string s, of two bytes or
more, given by the number of the string it extends by one byte, and that byte. A prefix has a smaller number than what
it begins, so the rows can be checked, and the strings laid out, in one pass.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...common.jit import jit
from ...errors import CompressorError
from ...vocab import NUM_BYTES
from ..words import PADDING, joined

NO_CODE: Final = -1
"""In place of the code of a string that has none."""

MAX_STRINGS: Final = 1 << 20
MAX_LENGTH: Final = 255

_MAGIC: Final = b"MPtrie\x00\x01"
# Magic, number of strings, whether outputs follow, first half of the SHA-256 of the rest.
_HEADER: Final = struct.Struct("<8sII16s")


@dataclass(frozen=True)
class Trie:
    """Strings of two bytes or more over the 256 single bytes.

    Parameters
    ----------
    parents
        int32, shape (strings,): the number of the string that each extends by one byte.
    labels
        uint8, shape (strings,): that byte.

    Raises
    ------
    CompressorError
        If they are not the rows of a trie: a parent that does not come first, a string given twice, one that is too
        long, or too many.
    """

    parents: NDArray[np.int32]
    labels: NDArray[np.uint8]

    def __post_init__(self) -> None:
        count = len(self.parents)
        if len(self.labels) != count or count > MAX_STRINGS:
            raise CompressorError(f"a trie has at most {MAX_STRINGS:,} strings with one byte each, not {count:,}")
        numbers = np.arange(NUM_BYTES, NUM_BYTES + count)
        if count and (self.parents.min() < 0 or (self.parents >= numbers).any()):
            raise CompressorError("not a trie: a string comes before its own prefix")
        if len(np.unique(self.parents.astype(np.int64) << 8 | self.labels)) != count:
            raise CompressorError("not a trie: a string is given twice")
        if (longest := int(self.lengths.max())) > MAX_LENGTH:
            raise CompressorError(f"not a trie: a string of {longest} bytes; at most {MAX_LENGTH} are possible")

    def __len__(self) -> int:
        return len(self.parents)

    @cached_property
    def lengths(self) -> NDArray[np.int32]:
        """Bytes of each string, by number: int32, shape (256 + strings,)."""
        lengths = np.ones(NUM_BYTES + len(self), dtype=np.int32)
        _measure(self.parents, lengths)
        return lengths

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """Where each string begins in :attr:`text`: int64, shape (256 + strings,)."""
        return np.cumsum(self.lengths, dtype=np.int64) - self.lengths

    @cached_property
    def text(self) -> NDArray[np.uint8]:
        """All strings one after the other, by number, and padding (``compressors.words``): uint8."""
        text = np.zeros(int(self.lengths.sum()) + len(PADDING), dtype=np.uint8)
        text[:NUM_BYTES] = np.arange(NUM_BYTES, dtype=np.uint8)
        _spell(self.parents, self.labels, self.lengths, self.starts, text)
        return text

    def string(self, number: int) -> bytes:
        """The string with a number."""
        return self.spell(np.array([number]))

    def spell(self, numbers: NDArray[Any]) -> bytes:
        """The strings with these numbers, one after the other; the numbers must be of this trie."""
        return joined(numbers, self.starts, self.lengths, self.text)

    def to_bytes(self, outputs: NDArray[np.int32] | None = None) -> bytes:
        """The trie as a file's content; ``outputs`` are further values, int32, shape (256 + strings,)."""
        body = self.parents.astype("<i4").tobytes() + self.labels.tobytes()
        if outputs is not None:
            body += outputs.astype("<i4").tobytes()
        return _HEADER.pack(_MAGIC, len(self), outputs is not None, _digest(body)) + body


def from_bytes(content: bytes, where: str) -> tuple[Trie, NDArray[np.int32] | None]:
    """The inverse of :meth:`Trie.to_bytes`; ``where`` names the file in errors.

    Raises
    ------
    CompressorError
        If the content is not a trie's, or is damaged.
    """
    damaged = CompressorError("this is not the file of a trie, or it is damaged", where=where, fix="train it again")
    if len(content) < _HEADER.size:
        raise damaged
    magic, count, with_outputs, digest = _HEADER.unpack_from(content)
    body = content[_HEADER.size :]
    numbers = NUM_BYTES + count if with_outputs == 1 else 0
    if magic != _MAGIC or with_outputs > 1 or len(body) != 5 * count + 4 * numbers or digest != _digest(body):
        raise damaged
    parents = np.frombuffer(body, "<i4", count).astype(np.int32)
    labels = np.frombuffer(body, np.uint8, count, 4 * count)
    outputs = np.frombuffer(body, "<i4", numbers, 5 * count).astype(np.int32) if with_outputs else None
    try:
        return Trie(parents, labels), outputs
    except CompressorError as error:
        raise CompressorError(error.what, where=where, fix="train it again") from None


def nth_largest(values: NDArray[np.integer], n: int) -> int:
    """The ``n``-th largest of some values that are none below 0; 0 if there are not so many."""
    return int(np.partition(values, -n)[-n]) if len(values) >= n else 0


def ranked(parents: NDArray[np.int64], labels: NDArray[np.uint8], weights: NDArray[np.int64], size: int) -> Trie:
    """The ``size`` heaviest strings as a trie, in order of falling weight; equals stay in their order.

    Parameters
    ----------
    parents
        int64, shape (strings,): the number of each one's prefix; a prefix comes first and weighs at least as much.
    labels
        uint8, shape (strings,): the last bytes.
    weights
        int64, shape (strings,).
    size
        How many to take.
    """
    chosen = np.argsort(-weights, kind="stable")[:size]
    rank = np.full(NUM_BYTES + len(weights), -1, dtype=np.int64)
    rank[:NUM_BYTES] = np.arange(NUM_BYTES)
    rank[NUM_BYTES + chosen] = NUM_BYTES + np.arange(len(chosen))
    return Trie(rank[parents[chosen]].astype(np.int32), labels[chosen])


def _digest(body: bytes) -> bytes:
    return hashlib.sha256(body).digest()[:16]


@jit
def _measure(parents: Any, lengths: Any) -> None:
    for s in range(len(parents)):
        lengths[256 + s] = lengths[parents[s]] + 1


@jit
def _spell(parents: Any, labels: Any, lengths: Any, starts: Any, text: Any) -> None:
    for s in range(len(parents)):
        source, target, length = starts[parents[s]], starts[256 + s], lengths[parents[s]]
        for i in range(length):
            text[target + i] = text[source + i]
        text[target + length] = labels[s]
