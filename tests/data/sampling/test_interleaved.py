"""Writing interleaved draws, from any views and from flat ones."""

from types import SimpleNamespace

import numpy as np
import pytest
from span_tables import table_of

from megatron_proxy.data.sampling.interleaved import FlatSpanWriter, SpanWriter, span_writer
from megatron_proxy.data.sampling.schedule import Mode, Schedule
from megatron_proxy.data.sampling.spans import threshold
from megatron_proxy.data.sampling.view_ids import FlatViewIds, ViewIds
from megatron_proxy.errors import DatasetError

EOS, R, R_, C, C_, RAW, CODES = 2, 12, 13, 14, 15, 64, 320


class View:
    """Documents in one array."""

    def __init__(self, documents, dtype):
        self.units = np.concatenate([np.array(list(document), dtype) for document in documents])
        self.sequence_lengths = np.array([len(document) for document in documents], np.int32)
        ends = np.cumsum(self.sequence_lengths, dtype=np.int64)
        self.sequence_pointers = (ends - self.sequence_lengths) * self.units.itemsize

    def get(self, document, offset=0, length=None):
        begin = self.sequence_pointers[document] // self.units.itemsize + offset
        return self.units[begin : begin + length]

    def stretch(self, begin, end):
        return self.units


def writer_of(ids, raw, codes, pairs, draws):
    """A writer over documents with the same spans (bytes, codes)."""
    table = table_of([len(pairs)] * len(raw), pairs * len(raw))
    views = ids(View(raw, np.uint8), RAW), ids(View(codes, np.uint16), CODES)
    spec = SimpleNamespace(seed=1, schedule=Schedule.constant(0.5, Mode.INTERLEAVED))
    plan = SimpleNamespace(spec=spec, draw_documents=np.array(draws, np.int32), step_draws=np.zeros(1, np.int64))
    return span_writer(table, plan, *views)


both = pytest.mark.parametrize("ids", [ViewIds, FlatViewIds])


def test_flat_views_have_a_writer_of_their_own():
    for ids, kind in ((ViewIds, SpanWriter), (FlatViewIds, FlatSpanWriter)):
        assert type(writer_of(ids, [b"a"], [[1]], [(1, 1)], [0])) is kind


def test_one_call_writes_as_many_draws_as_there_is_room_for():
    writer = writer_of(FlatViewIds, [b"ab", b"cd"], [[7, 8], [9, 10]], [(1, 1), (1, 1)], [1, 0, 1])
    out = np.zeros(9, np.int64)
    # Two draws of five ids, the first without its sentinel, which is the opener.
    assert writer.assemble(0, 3, threshold(1.0), 1, out) == (2, 9, C)
    assert out.tolist() == [CODES + 9, CODES + 10, C_, EOS, C, CODES + 7, CODES + 8, C_, EOS]
    # The second breaks off.
    assert writer.assemble(1, 3, threshold(0.0), 0, out[:6]) == (3, 6, EOS)
    assert out[:6].tolist() == [R, RAW + ord("a"), RAW + ord("b"), R_, EOS, R]
    # There is room for more than the draws before the end.
    assert writer.assemble(2, 3, threshold(0.0), 0, out) == (3, 5, EOS)
    assert out[:5].tolist() == [R, RAW + ord("c"), RAW + ord("d"), R_, EOS]


@both
@pytest.mark.parametrize(("raw", "codes"), [(5, 3), (4, 3), (5, 2)])
def test_spans_beyond_the_views_are_found(ids, raw, codes):
    writer = writer_of(ids, [bytes(raw)], [[0] * codes], [(3, 1), (2, 2)], [0])
    out = np.zeros(50, np.int64)
    if (raw, codes) == (5, 3):
        assert writer.assemble(0, 1, threshold(0.0), 0, out)[1] == 8
        return
    with pytest.raises(DatasetError, match="spans of document 0 do not add up"):
        writer.assemble(0, 1, threshold(0.0), 0, out)


def test_the_document_whose_spans_differ_is_named():
    writer = writer_of(FlatViewIds, [b"ab", b"c"], [[7], [8]], [(2, 1)], [0, 1])
    with pytest.raises(DatasetError, match="spans of document 1 do not add up"):
        writer.assemble(0, 2, threshold(0.0), 0, np.zeros(50, np.int64))


@pytest.mark.parametrize("document", [-1, 2])
def test_documents_that_are_not_in_the_views(document):
    writer = writer_of(FlatViewIds, [b"a", b"b"], [[1], [2]], [(1, 1)], [document])
    with pytest.raises(DatasetError, match="points outside"):
        writer.assemble(0, 1, threshold(0.0), 0, np.zeros(9, np.int64))
