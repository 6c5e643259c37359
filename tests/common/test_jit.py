"""Compiled functions: loaded late, calling each other, pickled by name."""

import importlib
import os
import pickle
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numba
import numpy as np
import pytest

from megatron_proxy.common import jit as jit_module
from megatron_proxy.common.jit import READY, Compiled, jit, jit_borrowing


@jit
def double(number):
    """Twice the number."""
    return 2 * number


@jit
def sum_of_doubles(numbers):
    total = 0
    for number in numbers:
        total += double(number)
    return total


def test_one_compiled_function_calls_another():
    assert sum_of_doubles(np.arange(5)) == 20
    assert sum_of_doubles.dispatcher.nopython_signatures


@jit_borrowing
def total(numbers):
    return numbers.sum()


@jit_borrowing
def twice_the_total(numbers):
    return 2 * total(numbers)


@pytest.fixture
def numba_without_the_option(monkeypatch):
    """As if numba had dropped it: it is called something that numba does not know."""
    monkeypatch.setattr(jit_module, "_BORROWING", {"_dropped": False})
    # One without a file is compiled, not taken from the cache.
    monkeypatch.setattr(jit_module, "_nothing", eval("lambda: None"))
    jit_module.numba_borrows.cache_clear()
    yield
    jit_module.numba_borrows.cache_clear()


def test_numba_may_drop_its_option_for_borrowing(numba_without_the_option):
    with pytest.warns(RuntimeWarning, match="no option _dropped: compressing takes longer"):
        assert twice_the_total(np.arange(5)) == 20
    # Any warning would be an error now.
    assert total(np.arange(3)) == 3


def test_numba_has_its_option_for_borrowing():
    assert jit_module.numba_borrows()


@pytest.mark.long
def test_the_first_compilation_is_told_once(tmp_path):
    """By whatever is compiled first, in one process; nothing is said of code that is found."""
    script = (
        "import numpy as np\n"
        "from megatron_proxy.common import jit_ready\n"
        "from megatron_proxy.data.sampling import kernels\n"
        "from megatron_proxy.tools.inspection import distances\n"
        "kernels.subkey(np.uint64(1), 2)\n"
        "distances.edit_distance([1, 2], [2, 1])\n"
    )
    for times in (1, 0):
        environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
        done = subprocess.run(
            [sys.executable, "-c", script], check=True, capture_output=True, text=True, env=environment
        )
        told = "megatron-proxy: compiling for this processor, up to a minute; later runs find it in "
        assert (done.stderr.count(told), done.stderr.count("\n")) == (times, times)


@pytest.mark.parametrize(
    ("module", "process", "rank", "told"),
    [
        ("megatron_proxy.compressors.segments.segmenter", "MainProcess", None, True),
        ("megatron_proxy.compressors.segments.segmenter", "ForkServerProcess-1", "0", True),
        ("megatron_proxy.compressors.segments.segmenter", "ForkServerProcess-12", None, False),
        ("megatron_proxy.compressors.segments.segmenter", "MainProcess", "1", False),
        ("megatron_proxy.common.jit", "MainProcess", None, False),
        ("somebody.else", "MainProcess", None, False),
    ],
)
def test_who_tells_of_it(monkeypatch, capsys, module, process, rank, told):
    monkeypatch.setattr(jit_module.multiprocessing, "current_process", lambda: SimpleNamespace(name=process))
    monkeypatch.setattr(jit_module.multiprocessing, "parent_process", lambda: None if process == "MainProcess" else 1)
    monkeypatch.delenv("RANK", raising=False)
    if rank is not None:
        monkeypatch.setenv("RANK", rank)
    compiling = jit_module.Compiling()
    for _ in range(2):
        compiling.begins(module, None)
    line = "megatron-proxy: compiling for this processor, up to a minute; in every run, as NUMBA_CACHE_DIR cannot be "
    assert capsys.readouterr().err == (f"{line}written to\n" if told else "")


def test_the_function_as_written_is_kept():
    assert isinstance(double, Compiled)
    assert double.__doc__ == "Twice the number."
    assert double.py_func("ab") == "abab"


def test_it_is_pickled_by_name():
    assert pickle.loads(pickle.dumps(double)) is double


@pytest.mark.long
def test_numba_is_loaded_on_the_first_call():
    script = (
        "import sys\n"
        "from megatron_proxy.tools.inspection.distances import edit_distance\n"
        "before = 'numba' in sys.modules\n"
        "edit_distance([1, 2], [2, 1])\n"
        "print(before, 'numba' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["False", "True"]


@pytest.mark.long
@pytest.mark.parametrize(("preload", "ready"), [([], "False"), ([READY], "True")])
def test_forked_workers_find_numba_ready(preload, ready):
    """In a process of its own: the server that workers are forked from is started once."""
    script = (
        "import jobs\n"
        "from megatron_proxy.common.parallel import Workers\n"
        f"with Workers(jobs.loaded_modules, 1, {preload}) as workers:\n"
        "    print(*(found['numba.np.arraymath'] for found in workers.map([['numba.np.arraymath']])))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1] / "helpers")}
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, env=environment)
    assert done.stdout.split() == [ready]


def four_times(number):
    return 2 * double(number)


RENAMED = """
from typing import NamedTuple
import numpy as np
from megatron_proxy.common.jit import jit

class {name}(NamedTuple):
    number: int

@jit
def twice(given):
    return 2 * given.number

told = twice({name}(3)), sum(twice.dispatcher.stats.cache_hits.values())
"""


@pytest.mark.long
def test_an_index_that_cannot_be_read_is_begun_anew(tmp_path, monkeypatch):
    """It names a class that is gone since, for example, which numba finds out while it unpickles."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(tmp_path)
    script = tmp_path / "renamed.py"

    def told(name):
        script.write_text(RENAMED.format(name=name))
        os.utime(script, (1, 1))
        monkeypatch.delitem(sys.modules, "renamed", raising=False)
        return importlib.import_module("renamed").told

    assert [told("Old"), told("Old")] == [(6, 0), (6, 1)]
    (index,) = (tmp_path / "cache").rglob("*.nbi")
    for damaged in (b"", index.read_bytes()[:-9]):
        index.write_bytes(damaged)
        assert [told("Old"), told("Old")] == [(6, 0), (6, 1)], len(damaged)
    # Here the class is gone.
    assert [told("New"), told("New")] == [(6, 0), (6, 1)]


@pytest.mark.parametrize("error", [OSError(116, "Stale file handle"), OSError(122, "Quota"), EOFError()])
@pytest.mark.parametrize("name", ["_load_index", "_save_index"])
def test_a_cache_that_fails_is_done_without(monkeypatch, name, error):
    """As on a stale or a full file system."""
    called = []

    def fail(*args):
        called.append(name)
        raise error

    file = "numba.core.caching.IndexDataCacheFile"
    monkeypatch.setattr(f"{file}._load_index", lambda self: {})
    monkeypatch.setattr(f"{file}.{name}", fail)
    assert jit(four_times)(7) == 28
    assert called
