"""Running a program that a model wrote: in a process of its own, with nothing to spare.

* no network: the process is in a network namespace without interfaces;
* no files: it sees Python's own folders and the system's libraries, read-only, and its environment is empty;
* no other processes: it sees and can signal none but its own, which end with it;
* one process and one thread, with limits on memory, on processor time and on wall-clock time, and on what it writes.

This takes a Linux kernel (5.12 or later) that lets users make namespaces. Where it does not, nothing is run: there is
no way to run programs unconfined.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from ...errors import ConfigurationError, UnsupportedError

_CHILD: Final = Path(__file__).with_name("confined.py")
_CANNOT_CONFINE: Final = 77
_MOST_OUTPUT: Final = 1 << 16
"""Bytes kept of what a program wrote past the silence it runs in: more end it, or it would fill our memory."""


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

    Raises
    ------
    ConfigurationError
        A time that is none.
    """

    seconds: float = 5.0
    memory_bytes: int = 1 << 30

    def __post_init__(self) -> None:
        if not 0.0 < self.seconds < threading.TIMEOUT_MAX:
            raise ConfigurationError(f"{self.seconds} seconds are no limit on time", where="--seconds")

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
        with process:
            try:
                output, errors = _exchange(process, json.dumps(job).encode() + b"\n", self.seconds)
            except _OverTheLimitError as error:
                return Outcome(False, str(error))
            finally:
                if process.returncode is None:
                    # The other processes of the namespace end with its first one, and that with its parent.
                    os.killpg(process.pid, signal.SIGKILL)
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


class _OverTheLimitError(Exception):
    """A program took too long or wrote too much."""


def _exchange(process: subprocess.Popen[bytes], job: bytes, seconds: float) -> tuple[bytes, bytes]:
    """Hand a process its job; what it wrote to standard output and standard error, once it has ended."""
    deadline = time.monotonic() + seconds
    given, *told = [pipe for pipe in (process.stdin, process.stdout, process.stderr) if pipe is not None]
    with contextlib.suppress(BrokenPipeError), given:
        given.write(job)
    written = {pipe: bytearray() for pipe in told}
    with selectors.DefaultSelector() as waiting:
        for pipe, kept in written.items():
            waiting.register(pipe, selectors.EVENT_READ, kept)
        while waiting.get_map():
            ready = waiting.select(max(0.0, deadline - time.monotonic()))
            if time.monotonic() >= deadline:
                raise _OverTheLimitError("timeout")
            for key, _ in ready:
                piece = os.read(key.fd, _MOST_OUTPUT)
                key.data.extend(piece)
                if not piece:
                    waiting.unregister(key.fileobj)
                if len(key.data) > _MOST_OUTPUT:
                    raise _OverTheLimitError("wrote too much")
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(max(0.0, deadline - time.monotonic()))
    output, errors = (bytes(kept) for kept in written.values())
    return output, errors
