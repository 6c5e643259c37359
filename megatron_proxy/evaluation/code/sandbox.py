"""Running a program that a model wrote: in a process of its own, with nothing to spare.

* no network: the process is in a network namespace without interfaces;
* no files: it sees Python's own folders and the system's libraries, read-only, and its environment is empty;
* no other processes: it sees and can signal none but its own, which end with it;
* limits on memory, on processor time and on wall-clock time.

This takes a Linux kernel (5.12 or later) that lets users make namespaces. Where it does not, nothing is run: there is
no way to run programs unconfined.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from ...errors import UnsupportedError

_CHILD: Final = Path(__file__).with_name("_confined.py")
_CANNOT_CONFINE: Final = 77


class Outcome(NamedTuple):
    """Whether a program came to its end without an exception, and what stopped it if not."""

    passed: bool
    reason: str


@dataclass(frozen=True)
class Sandbox:
    """Runs programs.

    Parameters
    ----------
    seconds
        Most wall-clock time, in seconds; processor time is limited to the next whole second.
    memory_bytes
        Most address space.
    """

    seconds: float = 5.0
    memory_bytes: int = 1 << 30

    def run(self, program: str) -> Outcome:
        """Run one program.

        Raises
        ------
        UnsupportedError
            If this system cannot confine it.
        """
        token = secrets.token_hex(16)
        job = {
            "token": token,
            "memory": self.memory_bytes,
            "cpu_seconds": int(self.seconds) + 1,
            "program": program,
        }
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_CHILD)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={},
            cwd="/",
            start_new_session=True,
        )
        try:
            output, errors = process.communicate(json.dumps(job).encode() + b"\n", timeout=self.seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return Outcome(False, "timeout")
        reason = errors.decode("utf-8", "replace").strip()
        if process.returncode == _CANNOT_CONFINE and token.encode() not in output:
            raise UnsupportedError(
                reason,
                where="--allow-code-execution",
                fix="use a Linux system (5.12 or later) on which users may make namespaces",
            )
        passed = output == token.encode()
        return Outcome(passed, "passed" if passed else reason or "ended before its end")

    def run_all(self, programs: Iterable[str], workers: int) -> Iterator[Outcome]:
        """Run programs, several at once; outcomes in the programs' order."""
        with ThreadPoolExecutor(workers) as pool:
            yield from pool.map(self.run, programs)
