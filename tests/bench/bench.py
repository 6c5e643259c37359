"""Run every benchmark, keep the results in build/bench/results.json (quick.json), and print them with their goals.

    python tests/bench/bench.py [--quick] [--only step plan]        (make bench, make bench-quick)
    python tests/bench/bench.py --table [--quick]                   the table of the last run, as Markdown

Each ``bench_NAME.py`` here is a script of its own that takes ``--quick`` and reports through harness.py; one that fails
is named at the end, and the others run all the same. Not among them, as they need corpora and hours:
``bench_compressors.py`` (quality of the compressors), ``bench_neural.py``, ``bench_strings.py`` (trie and neural).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import harness

HERE = Path(__file__).parent
# Figures of small inputs do not take the place of the others.
QUICK_RESULTS = harness.RESULTS.with_name("quick.json")
APART = ("compressors", "neural", "strings")
# Of a small corpus nothing is left once the start of a command is taken away.
NOT_QUICK = ("workers",)


def names(quick: bool = False) -> list[str]:
    """The benchmarks that run by default."""
    found = sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))
    return [name for name in found if name not in (APART + NOT_QUICK if quick else APART)]


def run(name: str, quick: bool, results: Path) -> bool:
    """Run one in a process of its own; returns whether it ended well."""
    print(f"\n## {name}\n", flush=True)
    begin = time.perf_counter()
    command = [sys.executable, str(HERE / f"bench_{name}.py"), *(["--quick"] if quick else [])]
    root = str(HERE.parents[1])
    environment = {
        "OMP_NUM_THREADS": "1",
        "BENCH_RESULTS": str(results),
        # Megatron tells at length what is not installed here.
        "PYTHONWARNINGS": "ignore",
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")])),
    }
    code = subprocess.run(command, check=False, env=environment).returncode
    print(f"\n{name}: {time.perf_counter() - begin:.0f} s", flush=True)
    return code == 0


def print_table(path: Path) -> None:
    """All rows of a results file, and which command made them, when, on what."""
    kept = json.loads(path.read_text())
    print(harness.table([row for name in sorted(kept) for row in harness.rows_of(kept[name])]), end="\n\n")
    for name in sorted(kept):
        machine = kept[name]["machine"]
        print(f"- {name}: `{kept[name]['command']}`, {machine['time']}, load {machine['load']:.1f}")
    for place in sorted({_place(result["machine"]) for result in kept.values()}):
        print(f"- on: {place}")


def _place(machine: dict[str, object]) -> str:
    """What is the same for all benchmarks that ran on a machine, whenever they did."""
    return ", ".join(f"{name} {value}" for name, value in machine.items() if name not in ("load", "time"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller, within three minutes")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=names(), help="only these")
    parser.add_argument("--table", action="store_true", help="print what was kept, run nothing")
    args = parser.parse_args()
    results = QUICK_RESULTS if args.quick else harness.RESULTS
    if args.table:
        print_table(results)
        return 0
    failed = [name for name in args.only or names(args.quick) if not run(name, args.quick, results)]
    print_table(results)
    if failed:
        print(f"\nfailed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
