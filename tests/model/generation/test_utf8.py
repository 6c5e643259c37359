"""The states of UTF-8 against Python's own decoder."""

from functools import reduce

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from megatron_proxy.model.generation import utf8

NEVER = np.iinfo(np.int64).max


def fits(prefix: bytes) -> bool:
    """Whether Python knows a way to go on to valid UTF-8, trying all continuations of up to three bytes."""
    for tail in (
        b"",
        b"\x80",
        b"\x90",
        b"\xa0",
        b"\x80\x80",
        b"\x90\x80",
        b"\xa0\x80",
        b"\x80\x80\x80",
        b"\x90\x80\x80",
    ):
        try:
            (prefix + tail).decode()
        except UnicodeDecodeError:
            continue
        return True
    return False


def state_after(content: bytes) -> int:
    return reduce(utf8.advance, content, utf8.START)


def follow(content: bytes) -> int | None:
    """The state after ``content``, or None where a byte of it cannot follow."""
    state = utf8.START
    for byte in content:
        if utf8.NEEDED[state, byte] == NEVER:
            return None
        state = utf8.advance(state, byte)
    return state


@pytest.mark.long
def test_every_sequence_of_two_bytes_is_judged_as_python_does():
    for first in range(256):
        for second in range(256):
            content = bytes([first, second])
            assert (follow(content) is not None) == fits(content), content


@given(st.text(min_size=1))
def test_valid_text_is_never_forbidden(text):
    content = text.encode("utf-8", "ignore")
    assert follow(content) == utf8.START
    assert utf8.complete(content) == len(content)


@given(st.binary(max_size=8))
def test_what_the_states_allow_python_can_finish(content):
    assert (follow(content) is not None) == fits(content)


@pytest.mark.parametrize(
    ("content", "missing"), [(b"", 0), (b"a", 0), ("é".encode()[:1], 1), ("😀".encode()[:1], 3), ("😀".encode()[:3], 1)]
)
def test_how_much_is_missing(content, missing):
    state = state_after(content)
    needed = [int(value) for value in utf8.NEEDED[state] if value != NEVER]
    assert min(needed) == max(0, missing - 1)
    assert utf8.complete(content) == (len(content) if missing == 0 else 0)


def test_a_byte_that_cannot_follow_begins_anew():
    assert state_after(b"\xe2\x82\x41") == utf8.START
    assert state_after(b"\xe2\xc3") == state_after(b"\xc3")
    assert state_after(b"\xff\x80") == utf8.START
