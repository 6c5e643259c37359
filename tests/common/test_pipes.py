"""Messages between processes: as they were sent, in order, and never half of one."""

import io
import multiprocessing
import os
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from megatron_proxy.common import pipes
from megatron_proxy.common.pipes import receive, send

LARGE = pipes._LARGE


@pytest.fixture
def ends():
    ours, theirs = multiprocessing.Pipe()
    with ours, theirs:
        yield ours, theirs


def head_of(message):
    """The pickle that is sent first."""
    head = io.BytesIO()
    pipes._Pickler(head).dump(message)
    return head.getvalue()


def received(ends, message):
    """A message that has gone through a pipe, whatever its size."""
    ours, theirs = ends
    sender = threading.Thread(target=send, args=(theirs, message))
    sender.start()
    found = receive(ours)
    sender.join()
    return found


@pytest.mark.parametrize("size", [0, LARGE - 1, LARGE, LARGE + 1, 5_000_000])
def test_bytes_of_every_size_arrive(ends, size):
    content = os.urandom(size)
    assert received(ends, ("before", content, [content[:7]], content)) == ("before", content, [content[:7]], content)
    assert received(ends, "the next one") == "the next one"


def test_large_bytes_are_left_out_of_the_pickle():
    assert len(head_of([bytes(LARGE), bytes(10 * LARGE)])) < 100
    assert len(head_of(bytes(LARGE - 1))) > LARGE - 1


def test_other_kinds_arrive_as_they_are(ends):
    array = np.arange(100_000, dtype=np.int32)
    found = received(ends, {"array": array, "text": "é" * 50_000, "bytearray": bytearray(LARGE), "none": None})
    assert found.pop("array").tolist() == array.tolist()
    assert found == {"text": "é" * 50_000, "bytearray": bytearray(LARGE), "none": None}


@given(sizes=st.lists(st.integers(0, 3 * LARGE), max_size=6))
def test_round_trip(sizes):
    message = [bytes([number]) * size for number, size in enumerate(sizes)]
    ours, theirs = multiprocessing.Pipe()
    with ours, theirs:
        assert received((ours, theirs), message) == message


@pytest.mark.parametrize("sent", [0, 1, LARGE])
def test_a_sender_that_dies_within_a_message_is_noticed(ends, sent):
    ours, theirs = ends
    theirs.send_bytes(head_of(bytes(2 * LARGE)))
    if sent:
        os.write(theirs.fileno(), bytes(sent))
    theirs.close()
    with pytest.raises((EOFError, OSError)):
        receive(ours)


def test_a_receiver_that_is_gone_is_noticed(ends):
    ours, theirs = ends
    ours.close()
    with pytest.raises(OSError):  # noqa: PT011 - broken pipe or connection reset
        send(theirs, bytes(10 * LARGE))


def test_a_wait_that_is_cut_short_goes_on(ends):
    class Stream:
        """A socket whose first answers are short."""

        def __init__(self):
            self.left = b"abcdef"

        def recv(self, size, flags):
            piece, self.left = self.left[: min(size, 2)], self.left[2:]
            return piece

    unpickler = pipes._Unpickler(b"", Stream())
    assert unpickler.persistent_load(5) == b"abcde"
    with pytest.raises(EOFError):
        unpickler.persistent_load(5)
