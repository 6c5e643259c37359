"""Views in memory, which are read as those on disk."""

import itertools

import numpy as np

from megatron_proxy.data.dataset.reader import ViewReader


class MemoryView(ViewReader):
    """A view of documents with so many units each, which are given one after the other."""

    def __init__(self, sizes, units):
        self.path, self.dtype, self.units, self._units = "memory", units.dtype, len(units), units
        self.sequence_lengths = np.asarray(sizes, np.int32)
        self.sequence_pointers = (np.cumsum(sizes, dtype=np.int64) - sizes) * units.itemsize


def view_of(documents, dtype):
    """The view of some documents, each a list of units."""
    return MemoryView([len(document) for document in documents], np.array([*itertools.chain(*documents)], dtype))


def spans_of(counts, pairs):
    """The view of the spans of documents with so many each, whose (bytes, codes) are ``pairs``, all in a row."""
    return MemoryView(2 * np.asarray(counts), np.asarray(pairs, np.uint16).ravel())
