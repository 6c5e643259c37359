"""Python in a process of its own, for what changes a process for good, or is about how one begins and ends."""

import os
import subprocess
import sys


def run(*words, cwd=None, **environment):
    """What ``python WORDS…`` did: its exit code and what it printed, as text."""
    return subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )
