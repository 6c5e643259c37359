"""Which view an id belongs to, from the ids of a window alone."""

import pytest

torch = pytest.importorskip("torch")

from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from megatron_proxy.adaptor.measures import context, formats  # noqa: E402
from megatron_proxy.vocab import (  # noqa: E402
    BYTE_OFFSET,
    COMPRESSED_CLOSE,
    COMPRESSED_OPEN,
    EOS,
    NUM_SPECIALS,
    PAD,
    RAW_CLOSE,
    RAW_OPEN,
    SYMBOL_OFFSET,
)

B = BYTE_OFFSET + 65
S = SYMBOL_OFFSET + 7


def compressed(*ids):
    return formats.is_compressed(torch.tensor([ids]))[0].int().tolist()


def opened(*ids):
    return formats.opened_format(torch.tensor([ids]))[0].tolist()


def test_the_opening_sentinel_tells_even_of_literal_bytes():
    ids = (RAW_OPEN, B, B, RAW_CLOSE, COMPRESSED_OPEN, B, S, COMPRESSED_CLOSE, EOS)
    assert compressed(*ids)[1:3] == [0, 0]
    assert compressed(*ids)[5:7] == [1, 1]


def test_before_the_first_special_the_closing_sentinel_tells():
    assert compressed(B, B, COMPRESSED_CLOSE, EOS)[:2] == [1, 1]
    assert compressed(B, B, RAW_CLOSE, EOS)[:2] == [0, 0]


def test_without_any_sentinel_a_symbol_tells():
    assert compressed(B, B, B) == [0, 0, 0]
    assert compressed(B, S, B) == [1, 1, 1]
    # The mode vanilla: documents parted by eos, each judged by itself.
    ids = compressed(B, B, EOS, B, S, EOS, B)
    assert [ids[i] for i in (0, 1, 3, 4, 6)] == [0, 0, 1, 1, 0]


def test_opened_formats_are_those_of_the_last_sentinel():
    ids = (EOS, RAW_OPEN, B, RAW_CLOSE, COMPRESSED_OPEN, B, S, COMPRESSED_CLOSE, EOS, PAD)
    assert opened(*ids) == [0, 1, 1, 0, 2, 2, 2, 0, 0, 0]


def test_a_shifted_window_has_the_formats_of_the_whole_one():
    whole = (COMPRESSED_OPEN, B, B, S, COMPRESSED_CLOSE, EOS, RAW_OPEN, B)
    for shift in range(1, 7):
        assert opened(*whole[shift:]) == opened(*whole)[shift:]


ids_of_windows = st.lists(
    st.sampled_from([PAD, EOS, RAW_OPEN, RAW_CLOSE, COMPRESSED_OPEN, COMPRESSED_CLOSE, B, S]), min_size=1, max_size=24
)


def by_walking(ids):
    """The rules of `formats`, one id at a time."""
    found = []
    for place in range(len(ids)):
        before = next((i for i in reversed(ids[: place + 1]) if i < NUM_SPECIALS), None)
        rest = ids[place + 1 :]
        after = next((i for i in rest if i < NUM_SPECIALS), None)
        if before in (RAW_OPEN, COMPRESSED_OPEN):
            found.append(before == COMPRESSED_OPEN)
        elif after in (RAW_CLOSE, COMPRESSED_CLOSE):
            found.append(after == COMPRESSED_CLOSE)
        else:
            begin = max((i + 1 for i in range(place + 1) if ids[i] < NUM_SPECIALS), default=0)
            end = next((i for i in range(place + 1, len(ids)) if ids[i] < NUM_SPECIALS), len(ids))
            found.append(any(i >= SYMBOL_OFFSET for i in ids[begin:end]))
    return found


@pytest.mark.long
@given(ids_of_windows)
def test_all_at_once_is_one_after_the_other(ids):
    found = formats.is_compressed(torch.tensor([ids, ids]))
    expected = by_walking(ids)
    for row in found.tolist():
        assert [f for f, i in zip(row, ids, strict=True) if i >= NUM_SPECIALS] == [
            e for e, i in zip(expected, ids, strict=True) if i >= NUM_SPECIALS
        ]


@pytest.mark.parametrize("size", [1, 2, 4])
def test_context_parallel_pieces_come_together_and_apart_again(size):
    windows = torch.arange(2 * 16).reshape(2, 16)
    parts = [context.own_pieces(windows, rank, size) for rank in range(size)]
    if size == 2:
        assert parts[0][0].tolist() == [0, 1, 2, 3, 12, 13, 14, 15]
    assert torch.equal(context.join_pieces(parts), windows)
