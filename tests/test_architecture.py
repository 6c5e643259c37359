"""Who may import whom: lower rooms only. Also: no `assert` and no pickle outside Megatron's own loading."""

import ast
from pathlib import Path

import pytest

import megatron_proxy

PACKAGE = Path(megatron_proxy.__file__).parent

LEVELS = {
    "errors": 0,
    "rng": 1,
    "vocab": 1,
    "schedule": 1,
    "jit": 1,
    "jit_ready": 1,
    "corpus": 1,
    "outputs": 1,
    "pages": 1,
    "parallel": 1,
    "pipes": 1,
    "progress": 1,
    "punkt": 1,
    "segment": 1,
    "training_log": 1,
    "tokenizer": 2,
    "compressors": 2,
    "manifest": 2,
    "views": 2,
    "prepare": 3,
    "reference": 3,
    "verify": 3,
    "planning": 3,
    "bpb": 3,
    "patching": 3,
    "adaptor": 4,
    "model": 4,
    "evaluation": 5,
    "generation": 5,
    "export": 5,
    "doctor": 5,
    "inspection": 5,
    "report": 5,
    "commands": 6,
    "cli": 6,
    "__main__": 6,
}
# Modules that their own room's other modules need, one level finer than the table above.
SAME_LEVEL = {
    ("reference", "prepare"),
    ("verify", "prepare"),
    ("segment", "punkt"),
    ("segment", "jit"),
    ("corpus", "jit"),
    ("jit_ready", "jit"),
    ("parallel", "pipes"),
    ("manifest", "compressors"),
    ("views", "manifest"),
    ("vocab", "errors"),
    ("cli", "commands"),
    ("__main__", "cli"),
    ("evaluation", "generation"),
}

FILES = sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return "" if parts == ("__init__",) else parts[0]


def imported_modules(path: Path) -> set[str]:
    """Absolute dotted names of everything `path` imports, at any depth of the code."""
    package = ["megatron_proxy", *path.relative_to(PACKAGE).parent.parts]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            found |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_downwards(path):
    room = room_of(path)
    if not room:
        return
    assert room in LEVELS, f"give {room} a level in this test"
    for module in imported_modules(path):
        parts = module.split(".")
        if parts[0] != "megatron_proxy" or len(parts) < 2 or parts[1] not in LEVELS or parts[1] == room:
            continue
        below = LEVELS[parts[1]] < LEVELS[room] or (room, parts[1]) in SAME_LEVEL
        assert below, f"{room} (level {LEVELS[room]}) imports {parts[1]} (level {LEVELS[parts[1]]})"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_adaptor_knows_megatron(path):
    roots = {module.split(".")[0] for module in imported_modules(path)}
    if room_of(path) != "adaptor":
        assert "megatron" not in roots
    if room_of(path) != "pipes":
        # What comes through a pipe comes from a process of ours; a file may be anybody's.
        assert "pickle" not in roots
