"""Faults while Megatron trains with the flag, on the CPU: kills, two at once, a full disk. Losses must not notice."""

import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
import tiny_data

from megatron_proxy.tools.report import training_log

ITERATIONS, SAVED_EVERY = 9, 3
MEASURES = ("lm loss", "raw bpb", "compressed bpb", "raw bytes seen", "compressed bytes seen")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("faults")
    tiny_data.prepare(made / "a", tiny_data.documents(200, words=8))
    return made


@pytest.fixture(scope="module")
def start(training, folder):
    """Starts a run that goes on from what is saved in its folder; its output goes to a file.

    Not to a pipe: the process in which Megatron writes checkpoints outlives one that is killed, and would hold it.
    """

    def start(home, *flags, **settings):
        words = (
            f"{training.SCRIPT} {training.TINY} {training.LLAMA} {training.NO_DROPOUT} --proxy-compression trie "
            f"--data-path {folder / 'a'} --split 90,5,5 --seed 1 --lr 1e-2 --train-iters {ITERATIONS} "
            f"--save {home} --load {home} --save-interval {SAVED_EVERY} --ckpt-format torch_dist "
            f"--data-cache-path {home}-cache {' '.join(flags)}"
        )
        return Training([sys.executable, "-m", "megatron_proxy.adaptor.cpu", *words.split()], folder, settings)

    return start


class Training:
    """A run in a session of its own."""

    def __init__(self, command, folder, settings):
        descriptor, name = tempfile.mkstemp(dir=folder, suffix=".log")
        self._path = Path(name)
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
        self._process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdout=descriptor,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **settings,
        )
        os.close(descriptor)

    @property
    def log(self):
        return self._path.read_text(errors="replace")

    def finish(self):
        """Wait for the end; gives the exit code and all that was printed."""
        code = self._process.wait(900)
        self._clear_away()
        return code, self.log

    def kill_at(self, line, delay):
        """Kill it a while after it has printed a line that matches; gives what it printed until then."""
        while self._process.poll() is None and not re.search(line, self.log):
            time.sleep(0.01)
        time.sleep(delay)
        self._process.kill()
        return self.finish()[1]

    def _clear_away(self):
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)


def measures_of(log):
    """Iteration → what was measured in it."""
    entries = training_log.parse(log.splitlines()).training
    return {entry.iteration: {name: entry.values.get(name) for name in MEASURES} for entry in entries}


def assert_goes_on(before, after):
    """Compare the iterations that both have printed.

    The line after a resumed run's first step begins no new interval in Megatron: that second line is a mean of two.
    """
    compared = sorted(set(before) & set(after) - {min(after) + 1})
    assert compared
    for iteration in compared:
        assert after[iteration] == pytest.approx(before[iteration], rel=1e-5, nan_ok=False), iteration
    return compared


def saved(home):
    tracker = home / "latest_checkpointed_iteration.txt"
    return int(tracker.read_text()) if tracker.exists() else 0


@pytest.fixture(scope="module")
def quiet(start, folder, long):
    """What an undisturbed run measures; in the short form the killed run itself is what the next is compared with."""
    if not long:
        return None
    code, log = start(folder / "quiet").finish()
    assert code == 0, log[-4000:]
    return measures_of(log)


def test_killed_while_it_saves(start, folder, long, quiet, inject, survived):
    """The checkpoint before is gone on from."""
    kind = "training killed while it saves"
    for number in range(5 if long else 1):
        inject(kind)
        home = folder / f"saving{number}"
        log = start(home).kill_at(r"saving checkpoint at iteration +6 ", random.uniform(0, 0.1))
        assert saved(home) in (3, 6)
        before = quiet or measures_of(log)
        code, log = start(home).finish()
        assert code == 0, log[-4000:]
        after = measures_of(log)
        assert min(after) in (4, 7)
        # Killed late, it had saved, and in the short form nothing is printed twice.
        if quiet or min(after) == 4:
            assert_goes_on(before, after)
        assert max(after) == ITERATIONS
        survived(kind)


def test_killed_at_random_steps(start, folder, long, quiet, inject, survived):
    """Killed again and again, until it has come to its end."""
    if not long:
        pytest.skip("the long form kills at random steps: make faults")
    kind = "training killed at a random step"
    for number in range(4):
        home = folder / f"steps{number}"
        for _ in range(2):
            if saved(home) == ITERATIONS:
                break
            inject(kind)
            step = random.randint(saved(home) + 1, ITERATIONS)
            after = measures_of(start(home).kill_at(rf"iteration +{step}/", random.uniform(0, 0.3)))
            assert_goes_on(quiet, after)
            survived(kind)
        # Megatron refuses to go on where no samples are left.
        if saved(home) < ITERATIONS:
            code, log = start(home).finish()
            assert code == 0, log[-4000:]
            assert_goes_on(quiet, measures_of(log))
        assert saved(home) == ITERATIONS


def test_killed_while_the_cache_is_built(start, folder, long, quiet, inject, survived):
    if not long:
        pytest.skip("the long form kills training before its first step: make faults")
    kind = "training killed before its first step"
    for number in range(4):
        inject(kind)
        home = folder / f"building{number}"
        start(home).kill_at(r"building train, validation, and test datasets", random.uniform(0, 0.3))
        code, log = start(home).finish()
        assert code == 0, log[-4000:]
        assert measures_of(log) == quiet
        survived(kind)


def test_two_build_one_cache(start, folder, long, quiet, inject, survived):
    if not long:
        pytest.skip("the long form trains twice at once: make faults; test_cache.py has builders at once")
    kind = "two trainings that build one cache at once"
    for number in range(3):
        inject(kind)
        shared = f"--data-cache-path {folder / f'shared{number}'}"
        runs = [start(folder / f"twin{number}{letter}", shared) for letter in "ab"]
        for code, log in (run.finish() for run in runs):
            assert code == 0, log[-4000:]
            assert measures_of(log) == quiet
        survived(kind)


def test_a_full_disk_for_the_cache(start, folder, long, inject, survived):
    if not long:
        pytest.skip("the long form fills the disk: make faults; test_cache.py fills it too")
    kind = "disk full before training's first step"
    # A plan of 80,000 samples is larger than either limit; what the run prints, to a file as well, is smaller.
    for limit in (300_000, 1_000_000):
        inject(kind)
        home = folder / f"full{limit}"
        shutil.rmtree(f"{home}-cache", ignore_errors=True)
        limited = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (limit, limit))
        code, log = start(home, "--train-iters 20000", preexec_fn=limited).finish()
        assert code == 1, log[-4000:]
        assert "the plan cannot be written here (File too large)" in log
        assert "--data-cache-path" in log
        assert "Traceback" not in log
        survived(kind)
