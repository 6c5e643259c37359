"""Span tables in memory."""

from types import SimpleNamespace

import numpy as np

from megatron_proxy.data.sampling.spans import SpanTable


def table_of(counts, pairs):
    """The table of documents with so many spans each, whose (bytes, codes) are ``pairs``, one after the other."""
    sizes = 2 * np.asarray(counts, np.int32)
    flat = np.asarray(pairs, np.uint16).ravel()
    return SpanTable(view_of(sizes, flat))


def view_of(sizes, flat):
    """A view in memory: units of each document, and all units."""
    sizes = np.asarray(sizes, np.int32)
    pointers = (np.cumsum(sizes, dtype=np.int64) - sizes) * flat.itemsize
    return SimpleNamespace(
        sequence_lengths=sizes,
        sequence_pointers=pointers,
        stretch=lambda begin, end: flat,
        get=lambda document: flat[pointers[document] // flat.itemsize :][: sizes[document]],
    )
