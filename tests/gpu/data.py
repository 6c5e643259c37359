"""Make what the steps read: prepared data, text, and the losses of the CPU in float32. ``make gpu-data`` calls it.

    python tests/gpu/data.py [--cpu] [--output build/gpu/data]

Under 30 MB; ``--cpu`` makes what the steps need at toy size.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from settings import COMPLETE, ROOT, Settings

# isort: split
import losses
import pretraining

_BYTES = {True: 200_000, False: 6_000_000}
"""Of the corpus, at toy size and at full size."""
_DOCUMENT = 2000
"""Bytes of a document of the prepared data: short, so that a few windows hold both views."""
_TEXT_BYTES = {True: 60_000, False: 1_000_000}


def make(settings: Settings) -> None:
    """Fill the folder; what tells that it is complete comes last."""
    settings.data.mkdir(parents=True, exist_ok=True)
    documents = pretraining.stdlib_sources(_TEXT_BYTES[settings.cpu])
    with (settings.data / "corpus.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps({"text": text.decode("utf-8", "replace")}) + "\n" for text in documents)
    sources = pretraining.stdlib_sources(_BYTES[settings.cpu])
    pieces = [text[begin : begin + _DOCUMENT] for text in sources for begin in range(0, len(text), _DOCUMENT)]
    pretraining.write_data(settings.data, pieces)
    found = losses.run(settings)
    (settings.data / COMPLETE).write_text(json.dumps(found) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cpu", action="store_true", help="at toy size")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "gpu" / "data")
    args = parser.parse_args()
    folder = args.output.absolute()
    make(Settings(args.cpu, folder, folder))
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"gpu-data: {size / 1e6:.1f} MB in {folder}")


if __name__ == "__main__":
    main()
