"""A corpus that every machine has: the Python sources of the interpreter's own standard library.

    python examples/stdlib_corpus.py build/demo

writes ``build/demo/train.jsonl`` and ``build/demo/held_out.jsonl``, one JSON object with ``text`` and ``path`` per
file. Which files are held out depends on their paths alone, so the same interpreter gives the same two files.

Sorted by path, neighbours are alike: the first documents say little about all, and the last, which a run's ``--split``
takes for validation, may be one odd file and its kin. For experiments,

    python examples/stdlib_corpus.py build/evidence/corpus --shuffle --held-out-of 20 --held-out-bytes 4096

puts them in an order without meaning (as fixed as the other), holds out more, and of each at most one stretch of lines,
so that no single file decides.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sysconfig
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import accumulate
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


def is_held_out(path: str, out_of: int = HELD_OUT_OF) -> bool:
    """Whether the file at ``path`` is kept out of the training corpus: one in ``out_of``."""
    return _number(path) % out_of == 0


def _number(path: str, place: int = 0) -> int:
    """A number below 2^32 that depends on the path alone; other places give others."""
    return int.from_bytes(hashlib.sha256(path.encode()).digest()[4 * place : 4 * place + 4], "little")


def stretch(path: str, text: str, size: int) -> str:
    """Whole lines of ``text``, of at most ``size`` bytes in all, from a line on that depends on the path alone."""
    lines = text.splitlines(keepends=True)
    ends = list(accumulate(len(line.encode()) for line in lines))
    starts = [0, *ends[:-1]]
    # From later lines on there is less than `size` left.
    last = max(0, bisect_right(starts, max(0, (ends or [0])[-1] - size)) - 1)
    first = _number(path, 1) % (last + 1)
    return "".join(lines[first : bisect_right(ends, (starts or [0])[first] + size)])


def write(
    folder: Path,
    max_documents: int | None = None,
    *,
    shuffle: bool = False,
    held_out_of: int = HELD_OUT_OF,
    held_out_bytes: int | None = None,
) -> dict[str, int]:
    """Write both files into ``folder``; returns the number of documents and bytes of the training corpus.

    Parameters
    ----------
    folder
        Where they go.
    max_documents
        Take no more than so many for training, and those that are held out before the last of them.
    shuffle
        Order files by a number that their paths give, not by path.
    held_out_of
        One file in so many is held out.
    held_out_bytes
        Of each of those, take a stretch of at most so many bytes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    documents = size = 0
    found = sources(Path(sysconfig.get_paths()["stdlib"]))
    if shuffle:
        found = iter(sorted(found, key=lambda one: _number(one[0], 2)))
    names = ("train.jsonl", "held_out.jsonl")
    with ExitStack() as stack:
        train, held_out = (stack.enter_context((folder / name).open("w", encoding="utf-8")) for name in names)
        for path, text in found:
            if max_documents is not None and documents == max_documents:
                break
            file = held_out if is_held_out(path, held_out_of) else train
            if file is held_out and held_out_bytes is not None:
                text = stretch(path, text, held_out_bytes)
            print(json.dumps({"path": path, "text": text}, ensure_ascii=False), file=file)
            if file is train:
                documents += 1
                size += len(text.encode())
    return {"documents": documents, "bytes": size}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--max-documents", type=int, help="of training (default: all)")
    parser.add_argument("--shuffle", action="store_true", help="not in the order of their paths")
    parser.add_argument("--held-out-of", type=int, default=HELD_OUT_OF, help="hold out one in so many (%(default)s)")
    parser.add_argument("--held-out-bytes", type=int, help="of each file held out, at most so many (default: all)")
    args = vars(parser.parse_args())
    print(json.dumps(write(**args)))


if __name__ == "__main__":
    main()
