"""The plugin: ``import megatron_proxy.adaptor`` in a pretraining script.

Without ``--proxy-compression`` on the command line this does nothing and imports nothing. With it, the hooks of
:mod:`megatron_proxy.adaptor.hooks` are installed, before or after Megatron's own modules are imported.
"""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Sequence
from typing import Final

FLAG: Final = "--proxy-compression"


def wanted(argv: Sequence[str]) -> bool:
    """Whether the command line asks for proxy compression (``--proxy-compression NAME`` or ``…=NAME``)."""
    return any(argument == FLAG or argument.startswith(f"{FLAG}=") for argument in argv)


def in_child() -> bool:
    """Whether this process was started by multiprocessing, as data loaders and checkpoint writers are.

    Such a process imports the main script again, before it knows its parent: until then it is marked as inheriting.
    """
    inheriting = getattr(multiprocessing.current_process(), "_inheriting", False)
    return inheriting or multiprocessing.parent_process() is not None


# While `python -m megatron_proxy.adaptor.cpu SCRIPT` looks that module up, sys.argv[0] is "-m" and the script's folder,
# which may hold the Megatron to use, is not on the path yet: the launcher installs the hooks itself.
if wanted(sys.argv[1:]) and not in_child() and sys.argv[0] != "-m":
    from .hooks import install

    install()
