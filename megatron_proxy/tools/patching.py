"""The one line in a pretraining script: put in, recognised, taken out again.

``import megatron_proxy.adaptor`` goes after the docstring and the ``__future__`` imports, before everything else, so
that the plugin is there before Megatron is. Scripts are read as Python's grammar, not as text, and only whole lines are
added or removed: the rest of a file stays byte for byte what it was.

The folder ``patches/`` beside this file holds the same change as one diff per tested release, for those who keep
patches.
"""

from __future__ import annotations

import ast
import hashlib
import os
import re
from enum import Enum
from pathlib import Path
from typing import Final, NamedTuple

from ..common.storage.files import replace_file
from ..errors import ProxyError

LINE: Final = "import megatron_proxy.adaptor"

SCRIPTS: Final = ("pretrain_gpt.py", "pretrain_hybrid.py")
"""What a Megatron-LM checkout trains language models with."""

OLD_SCRIPTS: Final = ("pretrain_gpt.py", "pretrain_mamba.py")
"""The same before 0.18; since then ``pretrain_mamba.py`` only runs ``pretrain_hybrid.py``."""

TESTED: Final[dict[str, str]] = {
    "9f641e557824d42319c7cfb01e0d7634882d660727d52471abbfca6f9ae3d446": "core_v0.17.1",
    "f4bf6db3ebc55bc28c5aaf266e1f35f534c99cd1dc289bbb68bbc834fcdb2325": "core_v0.17.1",
    "c80438d4bf7c842ff6ebe06c1f9d796045f350add57adc015eda6be2016e6036": "core_v0.18.2",
    "3e9a4d064efb1423b18350b3b03d4e8ffe8229033304b63bd4131ad773588d0b": "core_v0.18.2",
    "7283c4aeb5a00c694bbf2930527a184fc0d5f607f548c74707c71cc240d05fae": "core_v0.19.0",
    "72406e8e850f1b856414c272273c7c21bc39ada32d7b1dc15ade3db9730fc243": "core_v0.19.0",
    "9df1964ebcb88d16a1a42a5aa3463a617f6843dc16ba8882e575bab92ae97855": "main-2026-08",
    "c8ef8a579206f251a1295f8691af967c8c9b903945d5a233567f4247fb67161f": "main-2026-08",
}
"""SHA-256 of each unpatched script of the tested tags → the tag. Version numbers would not do: a tag's own
``package_info.py`` may name another patch release, and forks keep the number of what they forked."""


class Change(Enum):
    """What happened to a script."""

    PATCHED = "patched"
    ALREADY = "already patched"
    UNDONE = "line taken out"
    NOTHING = "not patched, nothing to take out"


class Result(NamedTuple):
    """One script, what happened to it, and the tested tag that it belongs to (None: it was never tested)."""

    script: Path
    change: Change
    release: str | None


class PatchError(ProxyError):
    """A script or folder that cannot be patched."""


def patch(script: Path) -> Result:
    """Put the line into a script, unless it is there.

    Raises
    ------
    PatchError
        If the file cannot be read or written, or is not Python.
    """
    lines, tree = _read(script)
    if numbers := _lines_of_import(tree):
        return Result(script, Change.ALREADY, _release(lines, numbers))
    release = _release(lines, [])
    at = _place(tree)
    ending = b"\r\n" if lines and lines[0].endswith(b"\r\n") else b"\n"
    if at and not lines[at - 1].endswith(b"\n"):
        lines[at - 1] += ending
    lines.insert(at, LINE.encode() + ending)
    _write(script, lines)
    return Result(script, Change.PATCHED, release)


def undo(script: Path) -> Result:
    """Take the line out of a script, if it is there.

    Raises
    ------
    PatchError
        As :func:`patch`, and if the line holds more than the import.
    """
    lines, tree = _read(script)
    numbers = _lines_of_import(tree)
    for number in reversed(numbers):
        if lines[number - 1].strip() != LINE.encode():
            raise PatchError("this line holds more than our import", where=f"{script}:{number}", fix="edit it by hand")
        del lines[number - 1]
    if numbers:
        _write(script, lines)
    return Result(script, Change.UNDONE if numbers else Change.NOTHING, _release(lines, []))


def is_patched(script: Path) -> bool:
    """Whether a script has the line.

    Raises
    ------
    PatchError
        As :func:`patch`.
    """
    return bool(_lines_of_import(_read(script)[1]))


def scripts_of(target: Path) -> list[Path]:
    """The script itself, or the pretraining scripts of a Megatron-LM checkout.

    Raises
    ------
    PatchError
        If there are none.
    """
    if not target.is_dir():
        return [target]
    names = SCRIPTS if (target / SCRIPTS[1]).is_file() else OLD_SCRIPTS
    found = [target / name for name in names if (target / name).is_file()]
    if not found:
        raise PatchError(
            f"this folder holds none of {', '.join(dict.fromkeys(SCRIPTS + OLD_SCRIPTS))}",
            where=str(target),
            fix="give the folder of a Megatron-LM checkout, or a pretraining script",
        )
    return found


def version_beside(script: Path) -> str | None:
    """The version of the Megatron-Core in a script's folder, such as ``0.19.1``; None if none is there, or told.

    Read, not imported: a checkout is not run to be patched.
    """
    try:
        info = (script.parent / "megatron" / "core" / "package_info.py").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None
    parts: dict[str, str] = dict(re.findall(r"^(MAJOR|MINOR|PATCH|PRE_RELEASE) *= *['\"]?(\w*)", info, re.MULTILINE))
    numbers = [parts.get(name) for name in ("MAJOR", "MINOR", "PATCH")]
    return None if None in numbers else ".".join(map(str, numbers)) + parts.get("PRE_RELEASE", "")


def _release(lines: list[bytes], without: list[int]) -> str | None:
    """The tested tag of a script, its lines ``without`` left out."""
    kept = [line for number, line in enumerate(lines, start=1) if number not in without]
    return TESTED.get(hashlib.sha256(b"".join(kept)).hexdigest())


def _read(script: Path) -> tuple[list[bytes], ast.Module]:
    try:
        content = script.read_bytes()
        return content.splitlines(keepends=True), ast.parse(content)
    except OSError as error:
        raise PatchError(f"cannot be read ({error.strerror})", where=str(script)) from error
    except (SyntaxError, ValueError) as error:
        raise PatchError(f"this is not a Python script ({error})", where=str(script)) from error


def _write(script: Path, lines: list[bytes]) -> None:
    try:
        mode = os.stat(script).st_mode
        replace_file(script.resolve(), b"".join(lines))
        os.chmod(script, mode)
    except OSError as error:
        raise PatchError(f"cannot be written ({error.strerror})", where=str(script)) from error


def _lines_of_import(tree: ast.Module) -> list[int]:
    """Numbers of the top-level lines that import the adaptor, whatever else they import."""
    return [
        node.lineno
        for node in tree.body
        if isinstance(node, ast.Import) and any(alias.name == "megatron_proxy.adaptor" for alias in node.names)
    ]


def _place(tree: ast.Module) -> int:
    """How many lines stay above the new one."""
    above = tree.body[:1] if ast.get_docstring(tree) is not None else []
    above += [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
    if above:
        return above[-1].end_lineno or 0
    return _first_line(tree.body[0]) - 1 if tree.body else 0


def _first_line(node: ast.stmt) -> int:
    """A function's own line number is that of its ``def``: decorators stand before it."""
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])
