"""CONTRIBUTING.md tells the rooms and targets that there are."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_the_table_of_rooms_is_the_enforced_one():
    told = {}
    for room, imports in re.findall(r"^\| `(\w+)` \| .*? \| (.*?) ?\|$", PAGE, re.MULTILINE):
        told[room] = set(told) - {"cli"} if imports == "all of these" else set(re.findall(r"`(\w+)`", imports))
    tree = ast.parse((ROOT / "tests" / "test_architecture.py").read_text(encoding="utf-8"))
    (rooms,) = (
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "MAY_IMPORT"
    )
    enforced = {
        ast.literal_eval(room): set() if isinstance(may, ast.Call) else ast.literal_eval(may)
        for room, may in zip(rooms.keys, rooms.values, strict=True)
    }
    assert told == enforced


def test_every_target_it_names_is_a_target():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", PAGE, re.MULTILINE)) <= targets


def test_hooks_before_a_commit_are_the_tools_of_make_check():
    hooks = re.findall(r"entry: \.venv/bin/(\w+(?: check| format)?)", (ROOT / ".pre-commit-config.yaml").read_text())
    check = re.search(r"^check:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)[1]
    assert hooks == [line.split("$(BIN)/")[1].replace(" .", "").replace(" --check", "") for line in check.splitlines()]
