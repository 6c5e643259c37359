"""Add the line 'import megatron_proxy.adaptor' to a pretraining script, or to those of a Megatron-LM checkout.

The line does nothing without --proxy-compression. On a script that is not one of a tested release the answer says so.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ..tools import patching
from ..tools.patching import Change, Result


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("target", type=Path, metavar="SCRIPT_OR_FOLDER", help="a script, or a Megatron-LM checkout")
    parser.add_argument("--undo", action="store_true", help="take the line out again")


def run(args: argparse.Namespace) -> int:
    """Patch, or undo."""
    for script in patching.scripts_of(args.target):
        result = patching.undo(script) if args.undo else patching.patch(script)
        print(_answer(result))
    return 0


def _answer(result: Result) -> str:
    answer = f"{result.script}: {result.change.value}"
    if result.change is Change.NOTHING:
        return answer
    if result.release:
        return f"{answer} ({result.release}, tested)"
    tested = ", ".join(dict.fromkeys(patching.TESTED.values()))
    return f"{answer} (not a script of a tested release: {tested}; at its first step a run checks that all hooks hold)"
