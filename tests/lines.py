"""Lines of each room of the package, now and at another commit: ``python tests/lines.py [COMMIT]``."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = "megatron_proxy/"


def room_of(path: str) -> str:
    """The room of a file of the package: its first folder, or its own name."""
    return path.removeprefix(PACKAGE).split("/")[0].removesuffix(".py")


def counted(files: Iterable[tuple[str, str]]) -> Counter[str]:
    """Lines by room, of the Python files among (path, content)."""
    found: Counter[str] = Counter()
    for path, content in files:
        if path.startswith(PACKAGE) and path.endswith(".py"):
            found[room_of(path)] += content.count("\n")
    return found


def git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, encoding="utf-8", check=True).stdout


def here() -> Counter[str]:
    return counted((path, (ROOT / path).read_text(encoding="utf-8")) for path in git("ls-files", PACKAGE).split())


def at(commit: str) -> Counter[str]:
    names = git("ls-tree", "-r", "--name-only", commit, PACKAGE).split()
    return counted((name, git("show", f"{commit}:{name}")) for name in names)


def main() -> None:
    columns = [at(commit) for commit in sys.argv[1:2]] + [here()]
    for room in sorted(set().union(*columns)):
        print(f"{room:16}", *(f"{column[room]:8,}" for column in columns))
    print(f"{'all':16}", *(f"{column.total():8,}" for column in columns))


if __name__ == "__main__":
    main()
