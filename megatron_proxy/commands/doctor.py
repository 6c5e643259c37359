"""Tell whether training would start: versions, hooks, patched scripts, prepared views; and the next command to run.

Ends with exit code 0 if it would, 1 if something is missing.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ..tools import doctor
from ..tools.doctor import Finding, Status


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("--megatron-lm", type=Path, metavar="DIR", help="a Megatron-LM checkout to look at")
    parser.add_argument("--prefix", help="a prepared dataset to look at")


def run(args: argparse.Namespace) -> int:
    """Look, and report line by line."""
    failures = []
    for finding in doctor.examine(args.megatron_lm, args.prefix):
        print(_line(finding), flush=True)
        if finding.status is Status.FAIL:
            failures.append(finding)
    if failures:
        print("\ntraining would not start: see the lines marked FAIL")
        if fix := next((finding.fix for finding in failures if finding.fix), None):
            print(f"next: {fix}")
        return 1
    command = doctor.next_command(args.megatron_lm, args.prefix, doctor.first_compressor(args.prefix))
    print(f"\nnext: {command}")
    return 0


def _line(finding: Finding) -> str:
    line = f"{finding.status:<6}{finding.subject:<20} {finding.text}"
    return f"{line}\n{'':<6}{'':<20} → {finding.fix}" if finding.fix else line
