"""What the workers of tests/test_parallel.py do. Its folder is put on the path of parent and workers."""

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
    return lambda _: {name: name in sys.modules for name in ("torch", "megatron")}


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


def hungry():
    return lambda size: bytearray(size)
