"""CONTRIBUTING.md tells the rooms and targets that there are."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_the_table_of_rooms_is_the_enforced_one():
    told = {}
    for level, rooms in re.findall(r"^\| (\d) \| (.*?) \|", PAGE, re.MULTILINE):
        told |= dict.fromkeys(re.findall(r"`(\w+)`", rooms), int(level))
    tree = ast.parse((ROOT / "tests" / "test_architecture.py").read_text(encoding="utf-8"))
    (levels,) = (
        node.value for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "LEVELS"
    )
    assert told == ast.literal_eval(levels)


def test_every_target_it_names_is_a_target():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", PAGE, re.MULTILINE)) <= targets


def test_hooks_before_a_commit_are_the_tools_of_make_check():
    hooks = re.findall(r"entry: \.venv/bin/(\w+(?: check| format)?)", (ROOT / ".pre-commit-config.yaml").read_text())
    check = re.search(r"^check:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)[1]
    assert hooks == [line.split("$(BIN)/")[1].replace(" .", "").replace(" --check", "") for line in check.splitlines()]
