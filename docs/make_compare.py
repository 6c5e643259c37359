"""Put the results of examples/compare.sh into docs/compare.md: ``python docs/make_compare.py build/compare``."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Final

from megatron_proxy.tools.report.figures import table

PAGE: Final = Path(__file__).with_name("compare.md")
FIGURES: Final = Path(__file__).with_name("figures")
BEGIN: Final = "<!-- results -->\n"
END: Final = "<!-- end of results -->\n"
SHOWN: Final = ("steps", "source-bytes")


def results(folder: Path) -> str:
    """The table of ``FOLDER/compare.json`` and the figures, as Markdown."""
    several = json.loads((folder / "compare.json").read_text())
    head = ["", *(figures["name"] for figures in several)]
    rows = [head, ["---"] + ["---:"] * len(several), *([label, *cells] for label, cells in table(several))]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    pictures = [f"![BPB and schedule over {name.replace('-', ' ')}](figures/compare-{name}.svg)" for name in SHOWN]
    return "\n".join([*lines, "", "\n\n".join(pictures)]) + "\n"


def main() -> None:
    """Write the page and its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="the folder that compare.sh was given")
    folder: Path = parser.parse_args().folder
    text = PAGE.read_text()
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    PAGE.write_text(f"{before}{BEGIN}{results(folder)}{END}{after}")
    for name in SHOWN:
        shutil.copyfile(folder / "figures" / f"{name}.svg", FIGURES / f"compare-{name}.svg")


if __name__ == "__main__":
    main()
