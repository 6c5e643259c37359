"""Importing this module makes numba ready to run compiled functions.

numba loads most of itself when the first function is called, which takes a second of processor time. The server that
worker processes are forked from imports this module once, so that no worker has to.
"""

from __future__ import annotations

from .jit import numba_borrows

# It calls a compiled function; and if there is a warning, there is one for all workers.
numba_borrows()
