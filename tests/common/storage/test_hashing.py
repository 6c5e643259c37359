"""A thread beside this one: whatever happens, both are done when the ``with`` ends."""

import hashlib
import threading
from contextlib import closing

import pytest

from megatron_proxy.common.storage import hashing as module
from megatron_proxy.common.storage.hashing import Aside

LARGE = module._LARGE


@pytest.fixture
def aside():
    with closing(Aside()) as one:
        yield one


@pytest.mark.parametrize(("size", "beside"), [(0, False), (LARGE - 1, False), (LARGE, True)])
def test_large_contents_are_worked_on_in_the_thread(aside, size, beside):
    threads = []
    with aside.doing(lambda content: threads.append(threading.get_ident()), bytes(size), size):
        pass
    assert [one != threading.get_ident() for one in threads] == [beside]


def test_checksums_come_in_order(aside):
    digest = hashlib.sha256()
    for number in range(20):
        size = LARGE * (number % 3)
        with aside.doing(digest.update, bytes([number]) * size, size):
            pass
    whole = b"".join(bytes([number]) * (LARGE * (number % 3)) for number in range(20))
    assert digest.hexdigest() == hashlib.sha256(whole).hexdigest()


def fail_beside(aside, done):
    go = threading.Event()
    with aside.doing(lambda content: done.append(go.wait(10)), b"", LARGE):
        go.set()
        raise OSError("full")


def test_an_error_of_the_body_waits_for_the_thread(aside):
    done = []
    with pytest.raises(OSError, match="full"):
        fail_beside(aside, done)
    assert done == [True]


def test_an_error_of_the_thread_is_raised(aside):
    with pytest.raises(TypeError), aside.doing(hashlib.sha256().update, 1, LARGE):
        pass


def test_without_room_for_a_thread_this_one_does_it(aside, monkeypatch):
    def no_room(work, content):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(aside._thread, "submit", no_room)
    digest = hashlib.sha256()
    with aside.doing(digest.update, bytes(LARGE), LARGE):
        pass
    assert digest.hexdigest() == hashlib.sha256(bytes(LARGE)).hexdigest()
