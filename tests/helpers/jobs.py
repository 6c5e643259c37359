"""What the workers of tests/common/test_parallel.py do. Its folder is put on the path of parent and workers."""

import os
import signal
import sys
import time

from megatron_proxy.errors import CompressorError, CorpusError


def square():
    return lambda number: number * number


def slow_first(seconds):
    """Squares, but item 0 takes long."""

    def work(number):
        time.sleep(seconds if number == 0 else 0)
        return number * number

    return work


def loaded_modules():
    """Which of the modules that an item names are loaded."""
    return lambda names: {name: name in sys.modules for name in names}


def fail_at_five():
    def work(number):
        if number >= 5:
            raise CorpusError("bad", where=f"a:{number}", fix="mend it")
        return number

    return work


def broken():
    return lambda _: {}["missing"]


def bad_setup():
    raise CompressorError("no such model")


def huge():
    """Results far larger than a pipe holds, so that the writer is in the midst of one when it is killed."""
    return lambda _: bytes(64 << 20)


class Fatal:
    """Kills the worker that unpickles it: before it has begun, while the parent still writes its setup."""

    def __init__(self):
        # Much more than a pipe holds, and after the fatal part.
        self.rest = bytes(1 << 20)

    def __getstate__(self):
        return [_Kill(), self.rest]

    def __setstate__(self, state):
        raise AssertionError("not dead")

    def __call__(self):
        raise AssertionError("not dead")


class _Kill:
    def __reduce__(self):
        return _kill_self, ()


def _kill_self():
    os.kill(os.getpid(), signal.SIGKILL)


class Unfit:
    """Raises an error in the worker that unpickles it."""

    def __init__(self, kind):
        self.kind = kind

    def __reduce__(self):
        return _fail, (self.kind,)

    def __call__(self):
        raise AssertionError("not failed")


def _fail(kind):
    raise kind


def hungry():
    return lambda size: bytearray(size)
