"""What docstrings and comments point to is there: modules, names, files, tests, extras."""

import ast
import re
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

from megatron_proxy.common.extras import PACKAGES

ROOT = Path(__file__).parents[2]
FILES = sorted(path for room in ("megatron_proxy", "tests", "docs", "examples") for path in (ROOT / room).rglob("*.py"))
ROLE = re.compile(r":(?:mod|class|func|meth|data|attr|exc):`~?([\w.]+)`")
FOLDERS = "tests|megatron_proxy|docs|examples|patches"


def assigned(node: ast.stmt) -> list[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [target.id for target in targets if isinstance(target, ast.Name)]


def members(node: ast.ClassDef) -> set[str]:
    """Methods and attributes, those that methods set included."""
    own = {name for part in node.body for name in assigned(part)}
    own |= {part.name for part in node.body if isinstance(part, ast.FunctionDef)}
    attributes = (
        part for part in ast.walk(node) if isinstance(part, ast.Attribute) and isinstance(part.ctx, ast.Store)
    )
    return own | {part.attr for part in attributes}


@cache
def names_in(file: Path) -> set[str]:
    """What a module defines or imports, members as ``Class.member`` and, as docstrings of a class say it, alone."""
    found = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        found.update(assigned(node))
        if isinstance(node, ast.Import | ast.ImportFrom):
            found.update(alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
            if isinstance(node, ast.ClassDef):
                found.update(name for member in members(node) for name in (member, f"{node.name}.{member}"))
    return found


def module_file(parts: list[str]) -> Path | None:
    """The file of a module of ours, by its dotted name."""
    path = ROOT.joinpath(*parts)
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def there(target: str, file: Path) -> bool:
    """Whether a name exists that a docstring of ``file`` points to; other packages' names are not looked at."""
    if target in names_in(file):
        return True
    dots = len(target) - len(target.lstrip("."))
    parts = target[dots:].split(".")
    if dots:
        parts = [*file.relative_to(ROOT).parts[:-dots], *parts]
    elif (file.parent / f"{parts[0]}.py").is_file():
        # Scripts name those beside them as they import them.
        parts = [*file.parent.relative_to(ROOT).parts, *parts]
    elif parts[0] != "megatron_proxy":
        return len(parts) > 1 and parts[0] in {*sys.stdlib_module_names, "psutil"}
    for count in range(len(parts), 0, -1):
        if module := module_file(parts[:count]):
            return count == len(parts) or ".".join(parts[count:]) in names_in(module)
    return False


@pytest.mark.long
def test_names_in_docstrings_are_there():
    named = [(file, target) for file in FILES for target in ROLE.findall(file.read_text(encoding="utf-8"))]
    assert len(named) > 100
    assert [(str(file), target) for file, target in named if not there(target, file)] == []


@pytest.mark.long
def test_names_that_scripts_import_are_there():
    """Benchmarks, docs, examples and the GPU path are run by hand only, but for what tests run of them."""
    imports = [
        (file, node.module, alias.name)
        for file in FILES
        if "megatron_proxy" not in file.relative_to(ROOT).parts
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("megatron_proxy")
        for alias in node.names
    ]
    assert len(imports) > 100
    missing = [each for each in imports if not there(f"{each[1]}.{each[2]}", each[0])]
    assert [(str(file), *names) for file, *names in missing] == []


def comments_and_docstrings(file: Path) -> list[str]:
    text = file.read_text(encoding="utf-8")
    alone = [node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Expr)]
    docstrings = [node.value for node in alone if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return [*docstrings, *re.findall(r"^\s*#(.*)$", text, re.MULTILINE)]


@pytest.mark.long
def test_files_in_docstrings_are_there():
    named = []
    for file in FILES:
        for text in comments_and_docstrings(file):
            named += [ROOT / path for path in re.findall(rf"(?<![\w./])((?:{FOLDERS})/[\w./-]*\w)", text)]
            named += [file.parent / name for name in re.findall(r"(?<![\w./])(test_\w+\.py)\b", text)]
    assert len(named) > 10
    assert [str(path) for path in named if not path.exists()] == []


def test_extras_that_are_to_be_installed_are_there():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    named = {package.extra for package in PACKAGES.values()} - {None}
    for file in [*ROOT.glob("megatron_proxy/**/*.py"), *ROOT.glob("docs/*.md"), ROOT / "README.md"]:
        for group in re.findall(r"(?:megatron-proxy|\.)\[([a-z,]+)\]", file.read_text(encoding="utf-8")):
            named.update(group.split(","))
    assert {"train", "gpu", "tokenizers", "ray", "harness"} <= named <= set(extras)
