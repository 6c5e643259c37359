"""Messages between processes: as they were sent, in order, and never half of one."""

import os
import pickle
import socket
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from megatron_proxy.common import pipes
from megatron_proxy.common.pipes import Pipe, pack

LARGE = pipes._LARGE


@pytest.fixture
def ends():
    pair = tuple(map(Pipe, socket.socketpair()))
    yield pair
    for end in pair:
        end.close()


def received(ends, message):
    """A message that has gone through a pipe, whatever its size."""
    ours, theirs = ends
    sender = threading.Thread(target=theirs.send, args=(pack(message),))
    sender.start()
    found = ours.receive()
    sender.join()
    return found


@pytest.mark.parametrize("size", [0, LARGE - 1, LARGE, LARGE + 1, 5_000_000])
def test_bytes_of_every_size_arrive(ends, size):
    content = os.urandom(size)
    assert received(ends, ("before", content, [content[:7]], content)) == ("before", content, [content[:7]], content)
    assert received(ends, "the next one") == "the next one"


def test_large_bytes_are_sent_as_they_are():
    one, ten = bytes(LARGE), bytes(10 * LARGE)
    sizes, *large, rest = pack([one, ten])
    assert pickle.loads(sizes) == [LARGE, 10 * LARGE]
    assert large[0] is one
    assert large[1] is ten
    assert len(rest) < 100
    assert [len(part) < 100 for part in pack(bytes(LARGE - 1))] == [True, False]


def test_other_kinds_arrive_as_they_are(ends):
    array = np.arange(100_000, dtype=np.int32)
    found = received(ends, {"array": array, "text": "é" * 50_000, "bytearray": bytearray(LARGE), "none": None})
    assert found.pop("array").tolist() == array.tolist()
    assert found == {"text": "é" * 50_000, "bytearray": bytearray(LARGE), "none": None}


@pytest.mark.long
@given(sizes=st.lists(st.integers(0, 3 * LARGE), max_size=6))
def test_round_trip(sizes):
    message = [bytes([number]) * size for number, size in enumerate(sizes)]
    ours, theirs = map(Pipe, socket.socketpair())
    assert received((ours, theirs), message) == message
    ours.close()
    theirs.close()


def test_a_sender_that_dies_within_a_message_is_noticed():
    """Wherever it is in it."""
    whole = b"".join(pack(["first", bytes(2 * LARGE), "last"]))
    for sent in (0, 1, 5, LARGE, 2 * LARGE, len(whole) - 20, len(whole) - 1):
        ours, theirs = socket.socketpair()
        theirs.sendall(whole[:sent])
        theirs.close()
        pipe = Pipe(ours)
        with pytest.raises((EOFError, OSError)):
            pipe.receive()
        pipe.close()


def test_an_end_that_hangs_up_or_is_gone_is_noticed(ends):
    ours, theirs = ends
    message = pack(bytes(10 * LARGE))
    ours.hang_up()
    ours.hang_up()
    with pytest.raises(OSError):  # noqa: PT011 - broken pipe or connection reset
        theirs.send(message)
    for end in ends:
        with pytest.raises((EOFError, OSError)):
            end.receive()
    theirs.close()
    ours.hang_up()
    with pytest.raises(OSError):  # noqa: PT011
        ours.send(message)
