"""docs/security.md: every test that it names as holding a promise is there, and every promise has one."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", PAGE)


def functions_of(path):
    return {node.name for node in ast.walk(ast.parse((ROOT / path).read_text())) if isinstance(node, ast.FunctionDef)}


def test_every_named_test_is_there():
    assert len(NAMED) > 20
    for path, name in NAMED:
        assert (ROOT / path).exists(), path
        assert not name or name in functions_of(path), f"{path}::{name}"


def test_every_promise_names_a_test():
    promises = PAGE.partition("## What is promised")[2].partition("\n## ")[0]
    rows = [
        line for line in promises.splitlines() if line.startswith("| ") and not line.startswith(("| --", "| promise"))
    ]
    assert len(rows) > 10
    for row in rows:
        assert "`tests/" in row, row


def test_every_test_of_this_kind_is_named():
    named = {path for path, _ in NAMED}
    for room in ("faults", "fuzz", "safety"):
        for path in (ROOT / "tests" / room).glob("test_*.py"):
            assert str(path.relative_to(ROOT)) in named, path
