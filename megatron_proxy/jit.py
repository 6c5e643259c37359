"""Compiling loops over arrays with numba: one decorator for the whole package.

Compiled code is cached beside the module, or in the user's cache folder. Where neither can be written (a read-only
container), numba refuses to cache; then the function is compiled in each process instead of failing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numba


def jit[F: Callable[..., Any]](function: F) -> F:
    """Compile ``function`` on its first call, without the interpreter lock, cached where that is possible.

    numba does not check array bounds: every caller validates what it passes.
    """
    try:
        return cast(F, numba.njit(cache=True, nogil=True)(function))
    except RuntimeError:
        return cast(F, numba.njit(nogil=True)(function))
