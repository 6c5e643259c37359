"""Build a cached plan, in processes to be disturbed.

    python plan_job.py FOLDER

opens the plan in FOLDER, or builds it, and prints the SHA-256 of its arrays.

    python plan_job.py --crash COUNT

kills a builder with SIGKILL before and after COUNT of the calls that change a file, the first and the last among them,
and sees that the next one has the plan of an undisturbed builder. Prints the number of kills.
"""

import hashlib
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import numpy as np
from crashing import Points, in_child

from megatron_proxy.data.sampling import cache, plan_file, planner
from megatron_proxy.data.sampling.plan import DocumentSizes, PlanSpec
from megatron_proxy.data.sampling.schedule import Schedule
from megatron_proxy.errors import ProxyError

DOCUMENTS = 10_000
SPEC = PlanSpec(
    seed=1, seq_length=64, schedule=Schedule(), horizon_samples=12_000, num_samples=12_000, documents=range(DOCUMENTS)
)
CALLS = [
    (os, "replace"),
    (os, "fsync"),
    (os, "chmod"),
    (os, "utime"),
    (plan_file._ArrayFile, "append"),
    (plan_file, "_publish"),
]


def sizes():
    numbers = np.arange(DOCUMENTS, dtype=np.int32)
    return DocumentSizes(numbers * 7919 % 300, numbers * 7919 % 300 // 3)


def build(folder):
    """The SHA-256 of the plan's arrays."""
    description = SPEC.description()
    arrays = cache.open_or_build(folder, description, lambda: planner.plan_parts(SPEC, sizes()))
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(arrays[name].tobytes())
    return digest.hexdigest()


def tell(folder):
    (folder / "digest").write_text(build(folder / "cache"))


def count(folder):
    points = Points(0, True, CALLS)
    points.install()
    tell(folder)
    (folder / "points").write_text(str(points.count))


def crash(folder, point, early):
    Points(point, early, CALLS).install()
    tell(folder)


def plan_files(folder):
    """Names of the plan's files; what a killed builder left is hidden."""
    return sorted(path.name for path in (folder / "cache").iterdir() if not path.name.startswith("."))


def crash_at(count_of_points):
    kills = 0
    with tempfile.TemporaryDirectory() as base:
        quiet = Path(tempfile.mkdtemp(dir=base))
        assert in_child(count, quiet) == 0
        last = int((quiet / "points").read_text())
        for point in sorted(set(np.linspace(1, last, count_of_points).astype(int).tolist())):
            for early in (True, False):
                folder = Path(tempfile.mkdtemp(dir=base))
                assert in_child(crash, folder, point, early) == -signal.SIGKILL, (point, early)
                assert in_child(tell, folder) == 0, (point, early)
                assert plan_files(folder) == plan_files(quiet), (point, early)
                assert (folder / "digest").read_text() == (quiet / "digest").read_text(), (point, early)
                shutil.rmtree(folder)
                kills += 1
    return kills


def main(*words):
    try:
        print(crash_at(int(words[1])) if words[0] == "--crash" else build(Path(words[0])))
    except ProxyError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
