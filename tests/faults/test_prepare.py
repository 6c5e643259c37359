"""Faults while preparing: whatever happens, what is there is whole, and the next run gives the bytes of a quiet one."""

import contextlib
import json
import random
import re
import resource
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import psutil
import pytest
from crashing import SCENARIOS
from preparing import files_of, leftovers, write_corpus
from processes import still_running

from megatron_proxy.data.dataset import manifest
from megatron_proxy.data.dataset.layout import Layout
from megatron_proxy.data.dataset.verify import verify
from megatron_proxy.errors import ProxyError

pytestmark = pytest.mark.long

HELPERS = Path(__file__).parent.parent / "helpers"
NAMES = "gzip,zstd"


@pytest.mark.parametrize("scenario", list(SCENARIOS))
def test_killed_at_any_change_of_a_file(scenario, long, inject, survived):
    step = 1 if long else 17
    done = subprocess.run(
        [sys.executable, "-W", "ignore", HELPERS / "crashing.py", scenario, str(step)],
        capture_output=True,
        text=True,
        check=False,
    )
    kills = json.loads(done.stdout)["kills"] if not done.returncode else 0
    inject(f"killed at a change of a file, {scenario}", max(kills, 1))
    assert done.returncode == 0, done.stderr
    survived(f"killed at a change of a file, {scenario}", kills)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A hundred documents, half a megabyte in all."""
    choose = random.Random(1)
    words = ["def", "return", "import", "self", "value", "list\n", "range", "print", "total", "index\n", "name"]
    texts = [" ".join(choose.choices(words, k=choose.randint(0, 1500))) for _ in range(120)]
    return write_corpus(tmp_path_factory.mktemp("corpus") / "c.jsonl", texts)


def start(corpus, prefix, workers=2, names=NAMES, more=(), **settings):
    flags = ["--input", corpus, "--output-prefix", str(prefix), "--workers", str(workers), "--compressor", names]
    return subprocess.Popen(
        [sys.executable, "-m", "megatron_proxy", "prepare", *flags, *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **settings,
    )


# A new checkout compiles its loops first, and a busy machine takes minutes for that: this is for hangs alone.
def finish(process, seconds=600):
    out, err = process.communicate(timeout=seconds)
    return process.returncode, out, err


@pytest.fixture(scope="module")
def quiet(corpus, tmp_path_factory):
    """The files of an undisturbed run, and how long it took."""
    found, seconds = [], 0.0
    # The first run of a new checkout compiles: only the second tells when to kill.
    for name in ("first", "second"):
        folder = tmp_path_factory.mktemp(name)
        begin = time.monotonic()
        finish_well(start(corpus, folder / "p"))
        seconds = time.monotonic() - begin
        found.append(files_of(folder))
    assert found[0] == found[1]
    return found[0], seconds


def finish_well(process):
    """Wait for a run that nothing disturbs; tells what it said if it fails."""
    code, out, err = finish(process)
    assert code == 0, f"exit code {code}\n{out}\n{err}"


def check_whole(prefix):
    """Whatever the manifest names, if there is one, is whole."""
    if Layout(prefix).manifest.exists():
        assert verify(str(prefix), deep=True, workers=0, log_interval=10**9).problems == []


def test_killed_at_random_moments(corpus, quiet, tmp_path, long, inject, survived):
    expected, seconds = quiet
    choose = random.Random()
    left = 100 if long else 4
    while left:
        prefix = tmp_path / str(left) / "p"
        # Some runs are killed twice before they are left in peace.
        for _ in range(min(left, choose.choice([1, 1, 2]))):
            left -= 1
            inject("prepare killed at a random moment")
            process = start(corpus, prefix)
            delay = choose.uniform(0, seconds)
            time.sleep(delay)
            family = psutil.Process(process.pid).children(recursive=True)
            process.kill()
            finish(process)
            assert not still_running(family, seconds=60), "workers outlive their parent"
            check_whole(prefix)
            survived("prepare killed at a random moment")
        finish_well(start(corpus, prefix))
        assert files_of(prefix.parent) == expected, delay
        assert leftovers(prefix.parent) == []


def test_a_killed_worker(corpus, quiet, tmp_path, long, inject, survived):
    expected, seconds = quiet
    choose = random.Random()
    ended_by_it = 0
    for number in range(20 if long else 2):
        prefix = tmp_path / str(number) / "p"
        inject("worker killed")
        process = start(corpus, prefix)
        # The first one dies as soon as it is there, when the run cannot do without it.
        victim = kill_a_worker(process, choose.uniform(0, seconds / 2) if number else 0.0)
        code, _, err = finish(process)
        # The run may have had no need of a later one any more.
        assert code in (0, 1), (code, err)
        deaths = (f"worker process {victim} died (killed by SIGKILL)", "a worker process died before it began")
        assert code == 0 or any(death in err for death in deaths), err
        assert "Traceback" not in err
        ended_by_it += code
        assert leftovers(prefix.parent) == []
        check_whole(prefix)
        finish_well(start(corpus, prefix))
        assert files_of(prefix.parent) == expected
        survived("worker killed")
    assert ended_by_it


def test_a_starved_worker(corpus, quiet, tmp_path, long, inject, survived):
    """RLIMIT_AS: a worker may have no more memory than it has."""
    expected, seconds = quiet
    choose = random.Random()
    for number in range(20 if long else 1):
        prefix = tmp_path / str(number) / "p"
        inject("worker without memory")
        process = start(corpus, prefix)
        to_a_worker(process, choose.uniform(0, seconds / 2) if number else 0.0, starve)
        code, _, err = finish(process)
        # It may have had all that it needs.
        assert code in (0, 1), (code, err)
        assert code == 0 or re.search("a worker process ran out of memory|worker process .*died", err), err
        assert code == 0 or "fewer --workers" in err
        assert "Traceback" not in err
        assert leftovers(prefix.parent) == []
        check_whole(prefix)
        finish_well(start(corpus, prefix))
        assert files_of(prefix.parent) == expected
        survived("worker without memory")


def starve(worker):
    resource.prlimit(worker.pid, resource.RLIMIT_AS, (worker.memory_info().vms,) * 2)


def kill_a_worker(process, delay):
    """Kill one of a run's workers; returns its process id."""
    return to_a_worker(process, delay, psutil.Process.kill)


def to_a_worker(process, delay, action):
    """Do something to one of a run's workers, after a while or as soon as there is one; returns its process id."""
    begin = time.monotonic()
    while process.poll() is None:
        workers = [child for child in psutil.Process(process.pid).children(recursive=True) if is_worker(child)]
        if workers and time.monotonic() - begin > delay:
            # A worker whose view is done may end just now; then the next one will do.
            with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
                action(workers[0])
                return workers[0].pid
        time.sleep(0.005)
    return None


def is_worker(process):
    """Of a run's descendants, those that its fork server has forked."""
    try:
        return "forkserver" in " ".join(process.parent().cmdline())
    except psutil.Error:
        return False


def test_a_full_disk(corpus, quiet, tmp_path, long, inject, survived):
    """RLIMIT_FSIZE: no file may become longer."""
    expected, _ = quiet
    largest = max(len(content) for content in expected.values())
    prefix = tmp_path / "p"
    # Python tries a temporary folder by four bytes; where not even those can be written, that is told instead.
    for limit in [max(4, largest * part // 16) for part in range(16)] if long else [4, 2000, largest - 1]:
        inject("disk full")
        process = start(corpus, prefix, preexec_fn=partial(resource.setrlimit, resource.RLIMIT_FSIZE, (limit, limit)))
        code, _, err = finish(process)
        assert code == 1
        assert "cannot be written" in err
        assert "File too large" in err
        assert "Traceback" not in err
        assert leftovers(tmp_path) == []
        check_whole(prefix)
        survived("disk full")
    finish_well(start(corpus, prefix))
    assert files_of(tmp_path) == expected


def test_two_runs_on_one_prefix(corpus, quiet, tmp_path, long, inject, survived):
    expected, seconds = quiet
    choose = random.Random()
    for number in range(20 if long else 1):
        inject("two runs on one prefix")
        prefix = tmp_path / str(number) / "p"
        first = start(corpus, prefix)
        time.sleep(choose.uniform(0, seconds / 2))
        second = start(corpus, prefix)
        ends = [finish(first), finish(second)]
        assert 0 in [code for code, _, _ in ends]
        for code, out, err in ends:
            assert code in (0, 1), (code, err)
            assert code == 0 or "another run is preparing" in err
            assert "Traceback" not in err + out
        assert files_of(prefix.parent) == expected
        assert leftovers(prefix.parent) == []
        survived("two runs on one prefix")


def test_bit_flips(corpus, tmp_path, long, inject, survived):
    """Every flipped bit of every file is found by verify, whatever it hits."""
    prefix = tmp_path / "p"
    few = ["--sentencepiece-vocab-size", "300", "--trie-symbols", "300", "--zstd-dictionary-bytes", "2048"]
    finish_well(start(corpus, prefix, names="gzip,zstd,trie,sentencepiece", more=few))
    check_whole(prefix)
    good = {path: path.read_bytes() for path in tmp_path.glob("p_*")}
    choose = random.Random()
    for number in range(1000 if long else 3 * len(good)):
        # Every file in turn, however small.
        path, content = list(good.items())[number % len(good)]
        kind = f"bit flipped in {path.name.removeprefix('p_')}"
        inject(kind)
        bit = choose.randrange(8 * len(content))
        bad = bytearray(content)
        bad[bit // 8] ^= 1 << bit % 8
        path.write_bytes(bad)
        assert problems(prefix) or manifest.read(prefix) == manifest.Manifest.from_json(good_manifest(good), ""), bit
        path.write_bytes(content)
        survived(kind)


def good_manifest(good):
    return next(content for path, content in good.items() if path.name == "p_manifest.json")


def problems(prefix):
    """What verify finds; a manifest that cannot be read is a finding too."""
    try:
        return verify(str(prefix), workers=0, log_interval=10**9).problems
    except ProxyError as error:
        return [str(error)]
