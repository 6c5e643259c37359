"""One page about training runs: BPB of both views over steps, FLOPs and source bytes, the schedule, generations.

  megatron-proxy report runs/bytes runs/proxy --output report.html

A RUN is a folder with what training has recorded (proxy-metrics.jsonl, in the folder of --save), or one such file;
where there is none, with what the training script printed (.log, .txt, .out or .err files). The files of a resumed run
are put together. What else lies in the folder is shown too: the .json of 'evaluate --output' and the .jsonl
of 'generate'. The page is one HTML file that loads nothing.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..common.storage.files import require_file, write_output
from ..errors import ConfigurationError

if TYPE_CHECKING:
    from ..tools.report import RecordedRun


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a run's folder, or its log")
    parser.add_argument(
        "--name", action="append", default=[], metavar="NAME", help="what to call a run; once for each RUN, in order"
    )
    parser.add_argument("--title", metavar="TEXT", help="the page's heading (default: the runs' names)")
    parser.add_argument("--output", type=Path, default=Path("report.html"), metavar="FILE", help="default: %(default)s")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the table of final figures as JSON")
    parser.add_argument("--figures", type=Path, metavar="DIR", help="also write the figures as SVG files")
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    if args.name and len(args.name) != len(args.runs):
        raise ConfigurationError(f"{len(args.name)} names for {len(args.runs)} runs", where="--name")
    from ..tools.report import read_run

    names = args.name or _names(args.runs)
    runs = [read_run(path, name) for path, name in zip(args.runs, names, strict=True)]
    contents = _contents(args, runs)
    for path, flag in contents:
        require_file(path, overwrite=args.overwrite, flag=flag)
    for (path, flag), content in contents.items():
        # A run may be called by a file's name that is no UTF-8.
        write_output(path, content.encode(errors="replace"), flag)
        print(f"wrote {path}")
    return 0


def _contents(args: argparse.Namespace, runs: list[RecordedRun]) -> dict[tuple[Path, str], str]:
    """What to write, by path and the flag that asks for it."""
    from ..tools.report.chart import alone, chart
    from ..tools.report.figures import as_json, final_figures
    from ..tools.report.page import page
    from ..tools.report.runs import AXES

    title = args.title or "Runs: " + ", ".join(run.name for run in runs)
    contents = {(args.output, "--output"): page(runs, title)}
    if args.json is not None:
        contents[args.json, "--json"] = as_json([final_figures(run) for run in runs])
    for axis in AXES if args.figures is not None else ():
        if drawn := chart(runs, axis):
            contents[args.figures / f"{axis.lower().replace(' ', '-')}.svg", "--figures"] = alone(drawn)
    return contents


def _names(paths: list[Path]) -> list[str]:
    """The last part of each path, or more of it where two would be called the same."""
    parts = [path.resolve().with_suffix("" if path.is_file() else path.suffix).parts for path in paths]
    for length in range(1, max(map(len, parts))):
        names = ["/".join(one[-length:]) for one in parts]
        if len(set(names)) == len(set(parts)):
            return names
    return [str(path) for path in paths]
