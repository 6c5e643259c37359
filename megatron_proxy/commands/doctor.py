"""Tell whether training would start: versions, hooks, patched scripts, prepared views; and the next command to run.

Ends with exit code 0 if it would, 1 if something is missing.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from ..tools import doctor
from ..tools.doctor import Finding, Status
from . import _answer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("--megatron-lm", type=Path, metavar="DIR", help="a Megatron-LM checkout to look at")
    parser.add_argument("--prefix", help="a prepared dataset to look at")
    _answer.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Look, and report line by line."""
    with _answer.answering(args) as answer:
        found = []
        for finding in doctor.examine(args.megatron_lm, args.prefix):
            answer.text(_line(finding))
            found.append(finding)
        failures = [finding for finding in found if finding.status is Status.FAIL]
        command = _next(args, failures)
        if failures:
            answer.text("\ntraining would not start: see the lines marked FAIL")
        if command is not None:
            answer.text(f"next: {command}" if failures else f"\nnext: {command}")
        findings = [finding._asdict() for finding in found]
        answer.content({"would_train": not failures, "findings": findings, "next": command})
    return 1 if failures else 0


def _next(args: argparse.Namespace, failures: Sequence[Finding]) -> str | None:
    """What to do next: about the first failure that can be mended, or the next command."""
    if failures:
        return next((finding.fix for finding in failures if finding.fix), None)
    return doctor.next_command(args.megatron_lm, args.prefix, doctor.best_compressor(args.prefix))


def _line(finding: Finding) -> str:
    line = f"{finding.status:<6}{finding.subject:<20} {finding.text}"
    return f"{line}\n{'':<6}{'':<20} → {finding.fix}" if finding.fix else line
