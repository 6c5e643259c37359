"""Compiling loops over arrays with numba: one decorator for the whole package.

numba is loaded when a compiled function is first called, not when it is defined: it takes a quarter of a second, and
many commands (``--help`` above all) only look at the modules that hold such functions.

numba may drop the option behind :func:`jit_borrowing` one day, which it does not document. Then functions are compiled
without it, a warning tells that they are slower, and nothing else changes.

Compiled code is cached beside the module, or in the user's cache folder. Where neither can be written (a read-only
container), numba refuses to cache; then the function is compiled in each process instead of failing. So too where the
cache fails while it is used (a stale handle of a network file system, a quota). An index that cannot be read, cut off
or of another version of the package, is begun anew.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, cast

READY: Final = f"{__package__}.jit_ready"
"""The module to import before forking processes that will call compiled functions."""

_OURS: Final = f"{__name__.partition('.')[0]}."
# numba's run time counts references.
_BORROWING: Final[dict[str, Any]] = {"_nrt": False}


class Compiled:
    """A function that numba compiles on its first call; ``py_func`` is the function as it was written."""

    def __init__(self, function: Callable[..., Any], *, borrowing: bool = False) -> None:
        functools.update_wrapper(self, function)
        self.py_func = function
        self._borrowing = borrowing

    @functools.cached_property
    def dispatcher(self) -> Any:
        """The object that numba makes of the function."""
        return _dispatcher(self.py_func, _BORROWING if self._borrowing and numba_borrows() else {})

    @property
    def _numba_type_(self) -> Any:
        # numba asks any value for this: so one compiled function can call another.
        return self.dispatcher._numba_type_

    def __call__(self, *args: Any) -> Any:
        """Run the compiled function, compiling it first if need be."""
        return self.dispatcher(*args)

    def __reduce__(self) -> str:
        # As functions are pickled: by name.
        return str(self.py_func.__qualname__)


def _dispatcher(function: Callable[..., Any], options: dict[str, Any]) -> Any:
    import numba

    try:
        dispatcher = numba.njit(cache=True, nogil=True, **options)(function)
        dispatcher._cache = _Forgiving(dispatcher._cache, function.__module__)
    except (RuntimeError, OSError, AttributeError):
        compiling.begins(function.__module__, None)
        return numba.njit(nogil=True, **options)(function)
    return dispatcher


class _Forgiving:
    """numba's cache of one function of a module, where a file that cannot be used is none."""

    def __init__(self, cache: Any, module: str) -> None:
        self._cache = cache
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cache, name)

    def load_overload(self, *args: Any) -> Any:
        """The compiled function for these types; None if it has to be compiled."""
        found = None
        try:
            found = self._cache.load_overload(*args)
        except OSError:
            pass
        except Exception:
            # numba unpickles an index before it asks whether that is of this source: it may be cut off, or name what
            # is no longer there. It is begun anew, or what is compiled now could not be kept either.
            with suppress(OSError):
                self._cache.flush()
        if found is None:
            compiling.begins(self._module, self._cache.cache_path)
        return found

    def save_overload(self, *args: Any) -> None:
        """Keep a compiled function, where that is possible."""
        with suppress(OSError, EOFError):
            self._cache.save_overload(*args)


class Compiling:
    """Tells, once, that code of this package is being compiled: nothing else moves for half a minute then.

    Of worker processes only the first of all tells, and of a run's ranks only rank 0.
    """

    def __init__(self) -> None:
        self.told = False

    def begins(self, module: str, folder: str | None) -> None:
        """A function of a module is about to be compiled, and kept in a folder, if it can be kept."""
        if self.told or not module.startswith(_OURS) or module == __name__:
            return
        self.told = True
        process = multiprocessing.current_process()
        first = multiprocessing.parent_process() is None or process.name.endswith("-1")
        if not first or os.environ.get("RANK", "0") != "0":
            return
        later = f"later runs find it in {folder}" if folder else "in every run, as NUMBA_CACHE_DIR cannot be written to"
        print(f"megatron-proxy: compiling for this processor, up to a minute; {later}", file=sys.stderr, flush=True)


compiling: Final = Compiling()
"""Of this process."""


@functools.cache
def numba_borrows() -> bool:
    """Whether this release of numba does what :func:`jit_borrowing` asks for; if not, a warning is given."""
    try:
        # numba looks at its options no sooner than it compiles.
        _dispatcher(_nothing, _BORROWING)()
    except Exception:  # Whatever numba says of what it does not know.
        warnings.warn(
            f"this numba has no option {', '.join(_BORROWING)}: compressing takes longer, and nothing else changes",
            RuntimeWarning,
            stacklevel=2,
        )
        return False
    return True


def _nothing() -> None: ...


def jit[F: Callable[..., Any]](function: F) -> F:
    """Compile ``function`` on its first call, without the interpreter lock, cached where that is possible.

    It takes positional arguments only. numba does not check array bounds: every caller validates what it passes.
    """
    return cast(F, Compiled(function))


def jit_borrowing[F: Callable[..., Any]](function: F) -> F:
    """:func:`jit` for a function that makes no arrays and returns none, nor does any that it calls.

    It does not count references to the arrays it is given, which its caller holds. For a small function called often,
    above all with tuples of arrays, counting takes longer than the work.
    """
    return cast(F, Compiled(function, borrowing=True))
