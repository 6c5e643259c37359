"""A corpus that every machine has: the Python sources of the interpreter's own standard library.

    python examples/stdlib_corpus.py build/demo

writes ``build/demo/train.jsonl`` and ``build/demo/held_out.jsonl``, one JSON object with ``text`` and ``path`` per
file. Which files are held out depends on their paths alone, so the same interpreter gives the same two files.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sysconfig
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

HELD_OUT_OF = 50
"""One file in this many is held out."""


def sources(root: Path) -> Iterator[tuple[str, str]]:
    """(path, text) of every UTF-8 ``.py`` file below ``root`` that is no installed package's, sorted by path."""
    for path in sorted(root.rglob("*.py")):
        relative = path.relative_to(root).as_posix()
        if "site-packages" in relative or "__pycache__" in relative:
            continue
        try:
            yield relative, path.read_bytes().decode("utf-8")
        except UnicodeDecodeError:
            # A few files of the test suite are in other encodings on purpose.
            continue


def is_held_out(path: str) -> bool:
    """Whether the file at ``path`` is kept out of the training corpus."""
    return int.from_bytes(hashlib.sha256(path.encode()).digest()[:4], "little") % HELD_OUT_OF == 0


def write(folder: Path, max_documents: int | None = None) -> dict[str, int]:
    """Write both files into ``folder``; returns the number of documents and bytes of the training corpus."""
    folder.mkdir(parents=True, exist_ok=True)
    documents = size = 0
    names = ("train.jsonl", "held_out.jsonl")
    with ExitStack() as stack:
        train, held_out = (stack.enter_context((folder / name).open("w", encoding="utf-8")) for name in names)
        for path, text in sources(Path(sysconfig.get_paths()["stdlib"])):
            if max_documents is not None and documents == max_documents:
                break
            file = held_out if is_held_out(path) else train
            print(json.dumps({"path": path, "text": text}, ensure_ascii=False), file=file)
            if file is train:
                documents += 1
                size += len(text.encode())
    return {"documents": documents, "bytes": size}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--max-documents", type=int)
    args = parser.parse_args()
    print(json.dumps(write(args.folder, args.max_documents)))


if __name__ == "__main__":
    main()
