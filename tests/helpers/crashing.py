"""Kill a preparation at every point where it changes a file, run it again, and see what is there.

    python crashing.py SCENARIO STEP

runs in a process of its own, which loads everything once and forks a child for each run. A *point* is a call that
writes, syncs, renames or removes something. The child kills itself with SIGKILL at the chosen point, before or after
the call. Then, whatever is there must be whole: each view that the manifest names verifies. Run again, the same job
must give the bytes of an undisturbed run and leave nothing else behind. Prints the number of points as JSON.
"""

import json
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from preparing import TEXTS, files_of, leftovers, write_corpus

from megatron_proxy import compressors
from megatron_proxy.data.dataset.layout import Layout
from megatron_proxy.data.dataset.verify import verify
from megatron_proxy.data.prepare import Job, prepare
from megatron_proxy.data.prepare.recipe import recipes
from megatron_proxy.data.prepare.staging import PendingView
from megatron_proxy.data.shards.merge import merge

CALLS = [
    (os, "replace"),
    (os, "unlink"),
    (os, "fsync"),
    (os, "ftruncate"),
    (os, "pwrite"),
    (shutil, "copyfile"),
    (PendingView, "add"),
]


class Points:
    """Counts calls, and kills the process at the chosen one."""

    def __init__(self, fatal, before, calls=CALLS):
        self.calls = calls
        self.count = 0
        self.fatal = fatal
        self.before = before

    def install(self):
        for owner, name in self.calls:
            setattr(owner, name, self.wrapped(getattr(owner, name)))

    def wrapped(self, function):
        def call(*args, **kwargs):
            self.count += 1
            fatal = self.count == self.fatal
            if fatal and self.before:
                os.kill(os.getpid(), signal.SIGKILL)
            try:
                return function(*args, **kwargs)
            finally:
                if fatal:
                    os.kill(os.getpid(), signal.SIGKILL)

        return call


def job(folder, corpus="new.jsonl", **settings):
    names = settings.pop("names", ["toy", "whole"])
    options = settings.pop("options", {})
    inputs = [str(folder / corpus)] if corpus else []
    prepare(Job(str(folder / "p"), inputs, recipes(names, options, []), workers=0, report=str, **settings))


def shards(folder):
    for index in range(2):
        job(folder, shard=(index, 2))


SCENARIOS = {
    # Name: (what is there before, the job).
    "fresh": (lambda folder: None, job),
    "skipping": (lambda folder: None, lambda folder: job(folder, "bad.jsonl", skip_bad_lines=True)),
    "replacing the corpus": (lambda folder: job(folder, "old.jsonl"), lambda folder: job(folder, overwrite=True)),
    "replacing a view": (
        lambda folder: job(folder, options={"toy": {"shift": 7}}),
        lambda folder: job(folder, corpus=None, names=["toy"], overwrite=True),
    ),
    "in partitions": (
        lambda folder: job(folder, names=[]),
        lambda folder: job(folder, corpus=None, names=["toy"], partitions=3),
    ),
    "merging": (shards, lambda folder: merge(str(folder / "p"), overwrite=True, report=str)),
}


def in_child(function, *args):
    """Run something in a forked child; returns how it ended (0, or minus the signal)."""
    child = os.fork()
    if not child:
        code = 1
        try:
            function(*args)
            code = 0
        finally:
            sys.stderr.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def count_points(run, folder):
    points = Points(0, before=True)
    points.install()
    run(folder)
    (folder / "points").write_text(str(points.count))


def crash(run, folder, point, before):
    Points(point, before).install()
    run(folder)


def check_whole(folder):
    """Whatever the manifest names, if there is one, is whole."""
    if Layout(folder / "p").manifest.exists():
        found = verify(str(folder / "p"), deep=True, workers=0, log_interval=10**9)
        assert not found.problems, found.problems


def contents(folder):
    """The files of the dataset; where bad lines are listed, the folder is called FOLDER."""
    found = files_of(folder)
    listed = found.get("_skipped_lines.txt", b"").replace(bytes(folder), b"FOLDER")
    return found | {"_skipped_lines.txt": listed}


def new_folder(base, before):
    folder = Path(tempfile.mkdtemp(dir=base))
    write_corpus(folder / "new.jsonl", TEXTS)
    write_corpus(folder / "old.jsonl", [*TEXTS, "more"])
    (folder / "bad.jsonl").write_text('{"text": "a"}\nbad\n{"text": "b"}\n')
    assert in_child(before, folder) == 0
    return folder


def main(scenario, step):
    registry = compressors._registry() | {
        "toy": "toy_compressor:ToyCompressor",
        "whole": "toy_compressor:WholeCompressor",
    }
    compressors._registry = lambda: registry
    before, run = SCENARIOS[scenario]
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as base:
        undisturbed = new_folder(base, before)
        assert in_child(count_points, run, undisturbed) == 0
        expected = contents(undisturbed)
        total = int((undisturbed / "points").read_text())
        chosen = list(range(1, total + 1, step))
        for point in chosen:
            for early in (True, False):
                folder = new_folder(base, before)
                assert in_child(crash, run, folder, point, early) == -signal.SIGKILL, (point, early)
                check_whole(folder)
                assert in_child(run, folder) == 0, (point, early)
                assert contents(folder) == expected, (point, early)
                assert not leftovers(folder), (point, early, leftovers(folder))
                shutil.rmtree(folder)
    print(json.dumps({"points": total, "kills": 2 * len(chosen)}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
