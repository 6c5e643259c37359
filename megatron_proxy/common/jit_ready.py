"""Importing this module makes numba ready to run compiled functions.

numba loads most of itself when the first function is called, which takes a second of processor time. The server that
worker processes are forked from imports this module once, so that no worker has to.
"""

from __future__ import annotations

from .jit import jit, numba_borrows


@jit
def _nothing(number: int) -> int:
    return number


_nothing(0)
# Once for all workers, so that there is one warning if there is any.
numba_borrows()
