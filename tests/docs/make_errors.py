"""The catalogue of error messages, and which test produces each: ``make errors``.

    MEGATRON_PROXY_ERRORS_SEEN=build/errors.jsonl PYTHONPATH=tests/helpers/recording pytest
    python tests/docs/make_errors.py --keep build/errors.jsonl

The first line runs the tests and records where each :class:`~megatron_proxy.errors.ProxyError` was made, in every
process (tests/helpers/recording/sitecustomize.py). The second reads all messages off the package's syntax trees, puts
the two together and writes tests/docs/errors.md; it ends with exit code 1, and a list, if no test produced some
message. Several recordings can be given: tests run in parts, for one. With --keep what is in the page already stays,
for as long as the message and the test are there, and only what is new is added.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[2]
PACKAGE: Final = ROOT / "megatron_proxy"
PAGE: Final = Path(__file__).with_name("errors.md")
HOLE: Final = "…"
"""What stands in a message for a value."""

_HEAD: Final = """# Error messages, and the test that produces each

Written by `make errors`, which runs all tests and notes where each error came from; `…` stands for a value. What to do
about the common ones: [troubleshooting](../../docs/troubleshooting.md).
"""


class Message(NamedTuple):
    """One place of the package that makes an error for users."""

    file: str
    function: str
    kind: str
    where: str
    what: str

    @property
    def text(self) -> str:
        """The first line of what the user reads."""
        return f"{self.where}: {self.what}" if self.where else self.what


class Site(NamedTuple):
    """A message, and the lines that its call takes up."""

    message: Message
    first: int
    last: int


class Seen(NamedTuple):
    """One error that was made: where (file and line, resolved to a message), by which test, with which text."""

    message: Message | None
    test: str
    text: str


def kinds() -> set[str]:
    """Names of ProxyError and of its kinds, wherever they are defined."""
    found = {"ProxyError"}
    for path in sorted(PACKAGE.rglob("*.py"), key=lambda path: path.name != "errors.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and found & {ast.unparse(base) for base in node.bases}:
                found.add(node.name)
    return found


def sites_of(path: Path, names: set[str]) -> list[Site]:
    """All places of one file that make an error of one of these kinds."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    constants = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    name = path.relative_to(PACKAGE).as_posix()
    return [
        Site(_message(name, function, call, constants), call.lineno, call.end_lineno or call.lineno)
        for function, call in _calls(tree, "", names)
    ]


def catalogue() -> list[Message]:
    """All messages, by file and place, each once."""
    names = kinds()
    return list(dict.fromkeys(site.message for path in sorted(PACKAGE.rglob("*.py")) for site in sites_of(path, names)))


def _calls(node: ast.AST, function: str, names: set[str]) -> Iterator[tuple[str, ast.Call]]:
    for child in ast.iter_child_nodes(node):
        inner = function
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            inner = f"{function}.{child.name}".lstrip(".")
        if isinstance(child, ast.Call) and isinstance(child.func, ast.Name) and child.func.id in names:
            yield function, child
        yield from _calls(child, inner, names)


def _message(file: str, function: str, call: ast.Call, constants: dict[str, ast.expr]) -> Message:
    given = {word.arg: word.value for word in call.keywords}
    what = call.args[0] if call.args else given["what"]
    where = _skeleton(given["where"], constants) if "where" in given else ""
    return Message(file, function, ast.unparse(call.func), where, _skeleton(what, constants))


def _skeleton(node: ast.expr, constants: dict[str, ast.expr]) -> str:
    """A string expression's text, with HOLE for what is computed."""
    if isinstance(node, ast.Name) and node.id in constants:
        node = constants[node.id]
    if isinstance(node, ast.Constant):
        return str(node.value or "")
    if isinstance(node, ast.JoinedStr):
        parts = (str(part.value) if isinstance(part, ast.Constant) else HOLE for part in node.values)
        return re.sub(f"{HOLE}+", HOLE, "".join(parts))
    return HOLE


def read_seen(lines: Iterable[str]) -> dict[Message, set[str]]:
    """The tests by message, from what tests/helpers/recording wrote.

    A worker process does not know which test it works for: its errors are given to the test whose process received an
    error with the same text.
    """
    seen = {_seen(json.loads(line)) for line in lines}
    received: dict[str, set[str]] = {}
    for entry in seen:
        if entry.message is None:
            received.setdefault(entry.text, set()).add(entry.test)
    found: dict[Message, set[str]] = {}
    for message, test, text in seen:
        if message is not None:
            found.setdefault(message, set()).update({test} if test else received.get(text, set()))
    return found


def _seen(record: dict[str, object]) -> Seen:
    message = record["message"]
    return Seen(Message(*message) if isinstance(message, list) else None, str(record["test"]), str(record["text"]))


def read_page(page: str) -> dict[tuple[str, str], str]:
    """The test by file and text of the message, as a page of ours has them."""
    found = {}
    file = ""
    for line in page.splitlines():
        if line.startswith("## `"):
            file = line.removeprefix("## `").removesuffix("`")
        elif (cells := _cells(line)) is not None:
            found[file, cells[0]] = cells[1]
    return found


def _cells(line: str) -> tuple[str, str] | None:
    match = re.fullmatch(r"\| (\w+) \| `` (.*) `` \| `(.*)` \|", line)
    return (match[2].replace("\\|", "|"), match[3]) if match else None


def render(messages: Iterable[Message], test_of: dict[tuple[str, str], str]) -> str:
    """The page."""
    lines = [_HEAD.rstrip()]
    file = ""
    done = set()
    for message in messages:
        key = (message.file, message.text)
        if message.file != file:
            file = message.file
            lines += ["", f"## `{file}`", "", "| kind | message | produced by |", "| --- | --- | --- |"]
        if key in test_of and key not in done:
            lines.append(f"| {message.kind} | `` {message.text.replace('|', '\\|')} `` | `{test_of[key]}` |")
            done.add(key)
    return "\n".join(lines) + "\n"


def exists(test: str) -> bool:
    """Whether ``tests/….py::name`` is there."""
    path, _, name = test.partition("::")
    name = name.rpartition("::")[2]
    file = ROOT / path
    return (
        file.is_file()
        and re.search(rf"^\s*def {re.escape(name)}\(", file.read_text(encoding="utf-8"), re.M) is not None
    )


def main(argv: list[str] | None = None) -> int:
    """Write the page, tell what no test produced."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", nargs="*", type=Path, metavar="FILE")
    parser.add_argument("--keep", action="store_true", help="add to what the page has")
    args = parser.parse_args(argv)
    known = read_page(PAGE.read_text(encoding="utf-8")) if args.keep else {}
    tests = {key: test for key, test in known.items() if exists(test)}
    lines = (line for path in args.recordings for line in path.read_text(encoding="utf-8").splitlines())
    for message, by in read_seen(lines).items():
        if (found := sorted(filter(exists, by))) and (message.file, message.text) not in tests:
            tests[message.file, message.text] = found[0]
    messages = catalogue()
    PAGE.write_text(render(messages, tests), encoding="utf-8")
    missing = [message for message in messages if (message.file, message.text) not in tests]
    for message in missing:
        print(f"no test produces: {message.file}, {message.function}: {message.kind}: {message.text}")
    print(f"{len(messages) - len(missing)} of {len(messages)} messages are produced by a test")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
