"""What pages point to is there: files, headings, commands, flags, examples, tests, make targets."""

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

from megatron_proxy import cli
from megatron_proxy.adaptor import arguments

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The headings of a page, as links name them."""
    heads = re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def code_of(page: Path) -> list[str]:
    """The lines of code blocks, continued lines joined, and what stands in backquotes."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for block in FENCE.findall(text) for line in block.splitlines()]
    return [*lines, *re.findall(r"`([^`\n]+)`", FENCE.sub("", text))]


def code() -> Iterator[tuple[str, str]]:
    """Each line of code with its page's name."""
    return ((page.name, line) for page in PAGES for line in code_of(page))


def test_links_resolve():
    dead = []
    for page in PAGES:
        for target in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", page.read_text(encoding="utf-8"))):
            if "://" in target:
                continue
            path, _, anchor = target.partition("#")
            file = page.parent / path if path else page
            if not file.exists() or (anchor and anchor not in anchors(file)):
                dead.append(f"{page.name}: {target}")
    assert dead == []


def test_files_that_pages_name_are_there():
    pattern = re.compile(r"\b((?:tests|examples|docs|megatron_proxy|patches)/[\w./-]*\w)")
    named = [(page, line, path) for page, line in code() for path in pattern.findall(line)]
    # Not what a command of the page is told to write, nor a path inside something else.
    ours = [(page, path) for page, line, path in named if f"/{path}" not in line and f" {path}_" not in line]
    assert [(page, path) for page, path in ours if not (ROOT / path).exists()] == []
    assert ours


def flags_of(parser: argparse.ArgumentParser) -> set[str]:
    return {flag for action in parser._actions for flag in action.option_strings}


def test_commands_and_their_flags_exist():
    known = {name: flags_of(cli.parser_of(name)) for name in cli.COMMANDS}
    wrong = []
    for page, line in code():
        for name, rest in re.findall(r"megatron-proxy ([a-z][\w-]*)([^|;&]*)", line):
            # What follows a training script are its own flags.
            flags = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", rest.partition(".py ")[0]))
            if name not in known or flags - known[name]:
                wrong.append(f"{page}: {line}")
    assert wrong == []


def test_training_flags_exist():
    known = flags_of(arguments.add_arguments(argparse.ArgumentParser()))
    texts = {page.name: page.read_text(encoding="utf-8") for page in PAGES}
    named = [(page, flag) for page, text in texts.items() for flag in re.findall(r"--proxy-[a-z][\w-]*\w", text)]
    assert [(page, flag) for page, flag in named if flag not in known] == []
    assert named


def test_make_targets_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = [(page, line.split()[1]) for page, line in code() if line.startswith("make ")]
    assert [(page, target) for page, target in named if target not in targets] == []
    assert named


def test_the_index_links_every_page():
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    linked = set(re.findall(r"\]\(([\w-]+\.md)\)", index))
    assert linked == {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"}
