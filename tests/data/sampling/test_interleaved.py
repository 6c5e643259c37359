"""Writing interleaved draws."""

from types import SimpleNamespace

import numpy as np
import pytest
from memory_views import spans_of, view_of

from megatron_proxy.data.sampling.interleaved import SpanWriter
from megatron_proxy.data.sampling.schedule import Mode, Schedule
from megatron_proxy.errors import DatasetError

EOS, R, R_, C, C_, RAW, CODES = 2, 12, 13, 14, 15, 64, 320


def writer_of(rate, raw, codes, pairs, draws):
    """A writer over documents with the same spans (bytes, codes)."""
    spans = spans_of([len(pairs)] * len(raw), pairs * len(raw))
    spec = SimpleNamespace(seed=1, schedule=Schedule.constant(rate, Mode.INTERLEAVED))
    plan = SimpleNamespace(spec=spec, draw_documents=np.array(draws, np.int32), step_draws=np.zeros(1, np.int64))
    return SpanWriter(plan, view_of(raw, np.uint8), view_of(codes, np.uint16), spans, CODES)


def test_a_draw_is_written_as_far_as_there_is_room():
    out = np.zeros(9, np.int64)
    writer = writer_of(1.0, [b"ab", b"cd"], [[7, 8], [9, 10]], [(1, 1), (1, 1)], [1, 0])
    # The first without its sentinel, which is the opener.
    assert writer.write(0, 1, out, 1) == (1, 5)
    assert out[:5].tolist() == [C, CODES + 9, CODES + 10, C_, EOS]
    # The second breaks off.
    assert writer.write(1, 0, out, 5) == (2, 9)
    assert out[5:].tolist() == [C, CODES + 7, CODES + 8, C_]
    raw = writer_of(0.0, [b"ab"], [[7, 8]], [(1, 1), (1, 1)], [0])
    assert raw.write(0, 0, out, 0) == (1, 5)
    assert out[:5].tolist() == [R, RAW + ord("a"), RAW + ord("b"), R_, EOS]


@pytest.mark.parametrize(("raw", "codes"), [(5, 3), (4, 3), (5, 2)])
def test_spans_beyond_the_views_are_found(raw, codes):
    writer = writer_of(0.0, [b"a", bytes(raw)], [[0], [0] * codes], [(3, 1), (2, 2)], [1])
    out = np.zeros(50, np.int64)
    if (raw, codes) == (5, 3):
        assert writer.write(0, 0, out, 0) == (1, 8)
        return
    with pytest.raises(DatasetError, match="spans of document 1 do not add up"):
        writer.write(0, 0, out, 0)
