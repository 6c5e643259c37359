"""A multilingual corpus from Debian's packages: the Debian Reference in eleven languages.

    apt-get download debian-reference-{de,en,es,fr,id,it,ja,pt,pt-br,zh-cn,zh-tw}
    for deb in debian-reference-*.deb; do dpkg -x $deb unpacked; done
    python tests/bench/debian_reference.py unpacked build/corpora/debian

writes ``train.jsonl`` and ``held_out.jsonl`` in the last folder. A document is a stretch of a translation that begins
at a paragraph; the same stretches of all languages are held out, so nothing held out is known from another language.
"""

from __future__ import annotations

import argparse
import gzip
import json
from pathlib import Path

PARTS = 200
"""Documents per language."""

HELD_OUT_OF = 25
"""One document in this many is held out."""


def documents(path: Path) -> list[str]:
    """One translation, cut at paragraphs into PARTS pieces of about the same size."""
    paragraphs = gzip.decompress(path.read_bytes()).decode("utf-8").split("\n\n")
    size = sum(map(len, paragraphs)) / PARTS
    pieces: list[list[str]] = [[] for _ in range(PARTS)]
    done = 0
    for paragraph in paragraphs:
        pieces[min(PARTS - 1, int(done / size))].append(paragraph + "\n\n")
        done += len(paragraph)
    return ["".join(piece) for piece in pieces]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", type=Path, help="folder with the unpacked packages")
    parser.add_argument("output", type=Path, help="folder for the two .jsonl files")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    with open(args.output / "train.jsonl", "w") as train, open(args.output / "held_out.jsonl", "w") as held_out:
        for path in sorted(args.packages.rglob("debian-reference.*.txt.gz")):
            for number, text in enumerate(documents(path)):
                file = held_out if number % HELD_OUT_OF == 7 else train
                file.write(json.dumps({"text": text, "path": f"{path.name}/{number}"}) + "\n")


if __name__ == "__main__":
    main()
