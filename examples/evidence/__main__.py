"""What transfers to raw bytes, measured on a CPU: a grid of small runs, resumable, and the page about them.

    python examples/evidence run --minutes 60   # what is missing, the most telling first; run it again, or two at once
    python examples/evidence cells              # which there are, and which have a result
    python examples/evidence page               # docs/evidence.md and its figures, from the results alone

Each cell is a run of ``examples/compare.sh`` on one core; its result is a small file in ``examples/evidence/results``.
"""

from __future__ import annotations

import argparse
import fnmatch
import signal
import sys
import time
from pathlib import Path

import page
import results
from grid import CELLS, Cell
from running import FailedError, OutOfTimeError, Runner


def chosen(pattern: str) -> list[Cell]:
    """The cells whose names fit a pattern, in the order of their value."""
    return [cell for cell in CELLS if fnmatch.fnmatchcase(cell.name, pattern)]


def run(args: argparse.Namespace) -> int:
    """Run cells; 1 if some failed."""
    deadline = None if args.minutes is None else time.monotonic() + 60 * args.minutes
    # Ended from outside, it ends what it has started.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    failures = 0
    try:
        for outcome in Runner(args.folder, args.results, deadline).run(chosen(args.only)):
            if isinstance(outcome, FailedError):
                failures += 1
                print(f"failed: {outcome}", file=sys.stderr, flush=True)
            else:
                told = ", ".join(f"{view} {bpb:.3f}" for view, bpb in outcome.bpb.items())
                print(f"{outcome.cell.name}: bits per byte {told}, {outcome.seconds:.0f} s", flush=True)
    except FailedError as failure:
        print(f"failed: {failure}", file=sys.stderr)
        return 1
    except OutOfTimeError:
        print("the time is over; the same command goes on from here", flush=True)
    return 1 if failures else 0


def cells(args: argparse.Namespace) -> int:
    """List the cells."""
    for cell in chosen(args.only):
        print("done   " if results.has(cell, args.results) else "missing", cell.name)
    return 0


def write_page(args: argparse.Namespace) -> int:
    """Write the page."""
    page.write(args.results)
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python examples/evidence", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--results", type=Path, default=results.FOLDER, help="the files with results")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    running = commands.add_parser("run", parents=[shared], help="run what is missing")
    running.add_argument("--minutes", type=float, help="stop after so many (default: when all is done)")
    running.add_argument("--folder", type=Path, default=Path("build/evidence"), help="for everything but the results")
    running.set_defaults(do=run)
    listing = commands.add_parser("cells", parents=[shared], help="list all cells")
    listing.set_defaults(do=cells)
    for one in (running, listing):
        one.add_argument("--only", default="*", metavar="PATTERN", help="cells whose names fit, such as '0.3M-500-*'")
    commands.add_parser("page", parents=[shared], help="write docs/evidence.md").set_defaults(do=write_page)
    args = parser.parse_args()
    return int(args.do(args))


if __name__ == "__main__":
    sys.exit(main())
