"""Add the line 'import megatron_proxy.adaptor' to a pretraining script, or to those of a Megatron-LM checkout.

The line does nothing without --proxy-compression. The answer says if a script is not one of a tested release, and if
the Megatron-Core beside it is one with which runs are refused.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ..adaptor.checks import support
from ..errors import UnsupportedError
from ..tools import patching
from ..tools.patching import Change, Result


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("target", type=Path, metavar="SCRIPT_OR_FOLDER", help="a script, or a Megatron-LM checkout")
    parser.add_argument("--undo", action="store_true", help="take the line out again")


def run(args: argparse.Namespace) -> int:
    """Patch, or undo."""
    scripts = patching.scripts_of(args.target)
    for script in scripts:
        result = patching.undo(script) if args.undo else patching.patch(script)
        print(_answer(result))
    if not args.undo and (refused := _refusal(scripts[0])):
        print(refused)
    return 0


def _refusal(script: Path) -> str | None:
    """What a run of the script would be told about the Megatron beside it, if it is no supported one."""
    version = patching.version_beside(script)
    if version is None:
        return None
    try:
        support.check_version(version)
    except UnsupportedError as error:
        return f"{script.parent}: a run with --proxy-compression will be refused: {error.what}"
    return None


def _answer(result: Result) -> str:
    answer = f"{result.script}: {result.change.value}"
    if result.change is Change.NOTHING:
        return answer
    if result.release:
        return f"{answer} ({result.release}, tested)"
    tested = ", ".join(dict.fromkeys(patching.TESTED.values()))
    return f"{answer} (not a script of a tested release: {tested}; at its first step a run checks that all hooks hold)"
