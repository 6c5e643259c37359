"""Freed memory is kept for the next tensor.

On a GPU torch keeps freed memory. On a CPU the C library by default hands a large tensor's memory back to the system
as soon as it is freed, and the kernel clears every page of the next one anew: at the sizes of logits this takes more
time than the arithmetic.
"""

from __future__ import annotations

import ctypes
import os
from typing import Final

# From glibc's malloc.h.
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_MAX: Final = -4
_LARGEST: Final = 2**31 - 1


def keep_freed() -> bool:
    """Let the C library keep what is freed; returns whether it does now.

    Nothing is done for a C library other than glibc, or where the user has set its variables (``MALLOC_…``).
    """
    if any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False
    return bool(mallopt(_M_MMAP_MAX, 0)) and bool(mallopt(_M_TRIM_THRESHOLD, _LARGEST))
