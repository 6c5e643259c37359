"""Compiled functions: loaded late, calling each other, pickled by name."""

import pickle
import subprocess
import sys

import numpy as np

from megatron_proxy.jit import Compiled, jit


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


def test_the_function_as_written_is_kept():
    assert isinstance(double, Compiled)
    assert double.__doc__ == "Twice the number."
    assert double.py_func("ab") == "abab"


def test_it_is_pickled_by_name():
    assert pickle.loads(pickle.dumps(double)) is double


def test_numba_is_loaded_on_the_first_call():
    script = (
        "import sys\n"
        "from megatron_proxy.inspection.distances import edit_distance\n"
        "before = 'numba' in sys.modules\n"
        "edit_distance([1, 2], [2, 1])\n"
        "print(before, 'numba' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["False", "True"]
