"""Compiled functions: loaded late, calling each other, pickled by name."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

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


def test_the_function_as_written_is_kept():
    assert isinstance(double, Compiled)
    assert double.__doc__ == "Twice the number."
    assert double.py_func("ab") == "abab"


def test_it_is_pickled_by_name():
    assert pickle.loads(pickle.dumps(double)) is double


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
