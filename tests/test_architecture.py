"""The house: who may import whom, and how full a room may be. Exceptions are named here, with their reasons."""

import ast
import functools
from pathlib import Path

import megatron_proxy

PACKAGE = Path(megatron_proxy.__file__).parent

# What every room may name.
SHARED = {"", "errors", "vocab"}
# Room → the rooms that it may import besides itself.
MAY_IMPORT = {
    "common": set(),
    "compressors": {"common"},
    "data": {"common", "compressors"},
    "adaptor": {"common", "compressors", "data"},
    "model": {"common", "compressors", "data"},
    "evaluation": {"common", "compressors", "data", "adaptor", "model"},
    "tools": {"common", "compressors", "data", "adaptor", "model", "evaluation"},
    "commands": {"common", "compressors", "data", "adaptor", "model", "evaluation", "tools"},
    "pretrain_gpt": {"adaptor"},
    "cli": {"common", "commands"},
    "__main__": {"cli"},
}
# File → room that it imports all the same, and why.
EXCEPTIONS = {
    ("model/hf/saving.py", "adaptor"): "a process of its own, in which Megatron writes the imported checkpoint",
    ("adaptor/resume.py", "model"): "what a checkpoint was trained with is read before Megatron has a model",
}
# Files that name packages which their rooms do not know, and why.
KNOW_MEGATRON = {
    "model/checkpoint/safety.py": "what Megatron registers as safe to load",
    "pretrain_gpt.py": "a pretraining script, as Megatron-LM's own",
}
UNPICKLES = {
    "common/pipes.py": "what comes through a pipe comes from a process of ours; a file may be anybody's",
    "model/checkpoint/safety.py": "torch's index of a checkpoint, which may name torch's own records alone",
}
TORCH = {"adaptor", "model", "evaluation", "commands", "tools", "pretrain_gpt"}
KNOW_TORCH = {
    f"compressors/byte_lm/{name}.py": "a compressor's own model" for name in ("network", "checkpoint", "training")
}

MOST_FILES = 14
"""In one folder, ``__init__`` included; ``commands`` holds one file a command."""

FILES = {path: str(path.relative_to(PACKAGE)) for path in sorted(PACKAGE.rglob("*.py"))}


def room_of(file: str) -> str:
    room = file.removesuffix(".py").split("/")[0]
    return "" if room == "__init__" else room


@functools.cache
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


def rooms_imported(file: str) -> set[str]:
    modules = [module.split(".") for module in imported_modules(PACKAGE / file)]
    return {parts[1] for parts in modules if parts[0] == "megatron_proxy" and len(parts) > 1 and is_room(parts[1])}


def is_room(name: str) -> bool:
    return (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").is_file()


def roots(file: str) -> set[str]:
    return {module.split(".")[0] for module in imported_modules(PACKAGE / file)}


def test_rooms_import_only_what_they_may():
    forbidden = {
        (file, room)
        for file in FILES.values()
        if room_of(file) not in SHARED
        for room in rooms_imported(file) - SHARED - MAY_IMPORT[room_of(file)] - {room_of(file)}
    }
    assert forbidden == set(EXCEPTIONS)


def test_what_every_room_may_name_knows_no_room():
    assert {file: rooms_imported(file) - SHARED for file in ("__init__.py", "errors.py", "vocab.py")} == {
        "__init__.py": set(),
        "errors.py": set(),
        "vocab.py": set(),
    }


def test_only_the_adaptor_knows_megatron():
    knowing = {file for file in FILES.values() if "megatron" in roots(file) and room_of(file) != "adaptor"}
    assert knowing == set(KNOW_MEGATRON)


def test_data_and_compressors_know_no_torch():
    knowing = {file for file in FILES.values() if "torch" in roots(file) and room_of(file) not in TORCH}
    assert knowing == set(KNOW_TORCH)


def test_nothing_unpickles_what_may_be_anybodys():
    assert {file for file in FILES.values() if "pickle" in roots(file)} - {
        file for file in FILES.values() if room_of(file) == "adaptor"
    } == set(UNPICKLES)


def test_no_two_modules_import_each_other_while_they_load():
    """At the top of the file; what a function imports when it runs makes no circle."""
    modules = {module_name(path): path for path in FILES}
    graph = {name: {other for other in loads(path) if other in modules} for name, path in modules.items()}
    assert circles(graph) == []


def module_name(path: Path) -> str:
    parts = ["megatron_proxy", *path.relative_to(PACKAGE).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def loads(path: Path) -> set[str]:
    """The modules that loading ``path`` loads, those under ``if TYPE_CHECKING`` left out."""
    package = ["megatron_proxy", *path.relative_to(PACKAGE).parent.parts]
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            named = {f"{module}.{alias.name}" for alias in node.names}
            found |= {name if is_module(name) else module for name in named}
    return found


def is_module(name: str) -> bool:
    path = PACKAGE.parent.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    found, done = [], set()

    def visit(name: str, way: list[str]) -> None:
        if name in way:
            found.append([*way[way.index(name) :], name])
        elif name not in done:
            for other in sorted(graph[name]):
                visit(other, [*way, name])
            done.add(name)

    for name in sorted(graph):
        visit(name, [])
    return found


def test_no_room_is_a_drawer():
    counts: dict[str, int] = {}
    for path in FILES:
        folder = str(path.relative_to(PACKAGE).parent)
        counts[folder] = counts.get(folder, 0) + 1
    assert {folder: count for folder, count in counts.items() if count > MOST_FILES and folder != "commands"} == {}


def test_a_class_has_a_name_of_its_own():
    """One word, one sense: whoever greps a name finds one class."""
    places: dict[str, list[str]] = {}
    for path, file in FILES.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(file)
    assert {name: files for name, files in places.items() if len(files) > 1} == {}
