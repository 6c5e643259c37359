"""Megatron's compiled dataset helper, found where it is instead of compiled anew.

``megatron.core.datasets.utils.compile_helpers`` runs make on every start and ends the process if that fails. It must
fail in the wheels, which hold the compiled helper but no makefile, and in a checkout without pybind11.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Final

NAME: Final = "megatron.core.datasets.helpers_cpp"


def use_compiled_helpers() -> None:
    """Import the compiled helper and spare Megatron its compilation, if there is one to be found.

    A checkout's own helper is preferred; without one, that of an installed megatron-core serves, whose functions are
    the same.
    """
    try:
        importlib.import_module(NAME)
    except ImportError:
        if not _borrow():
            return
    from megatron.core.datasets import utils

    utils.compile_helpers = lambda: None


def _borrow() -> bool:
    """Load the helper of another portion of the namespace package ``megatron``."""
    import megatron

    for portion in megatron.__path__:
        for suffix in EXTENSION_SUFFIXES:
            path = Path(portion, "core", "datasets", f"helpers_cpp{suffix}")
            if path.is_file() and (spec := importlib.util.spec_from_file_location(NAME, path)) and spec.loader:
                module = importlib.util.module_from_spec(spec)
                spec.loader.exec_module(module)
                sys.modules[NAME] = module
                return True
    return False
