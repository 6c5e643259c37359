"""What pages point to is there: files, headings, commands, flags, examples, tests, make targets."""

import argparse
import re
from pathlib import Path

import pytest

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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_resolve(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", page.read_text(encoding="utf-8"))):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_pages_name_are_there(page):
    named = re.compile(r"\b((?:tests|examples|docs|megatron_proxy|patches)/[\w./-]*\w)")
    for code in code_of(page):
        for path in named.findall(code):
            # Not what a command of the page is told to write, nor a path inside something else.
            if f"/{path}" in code or f" {path}_" in code:
                continue
            assert (ROOT / path).exists(), path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_their_flags_exist(page):
    for code in code_of(page):
        for name, rest in re.findall(r"megatron-proxy ([a-z][\w-]*)([^|;&]*)", code):
            assert name in cli.COMMANDS, code
            known = {flag for action in cli.parser_of(name)._actions for flag in action.option_strings}
            # What follows a training script are its own flags.
            for flag in re.findall(r"(?<![\w-])--[a-z][\w-]*", rest.partition(".py ")[0]):
                assert flag in known, code


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_training_flags_exist(page):
    parser = arguments.add_arguments(argparse.ArgumentParser())
    known = {flag for action in parser._actions for flag in action.option_strings}
    for flag in re.findall(r"--proxy-[a-z][\w-]*\w", page.read_text(encoding="utf-8")):
        assert flag in known, flag


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_make_targets_exist(page):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for code in code_of(page):
        if code.startswith("make "):
            assert code.split()[1] in targets, code


def test_the_index_links_every_page():
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    linked = set(re.findall(r"\]\(([\w-]+\.md)\)", index))
    assert linked == {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"}
