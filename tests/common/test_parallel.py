"""Worker processes: order, bounds, errors, and every way a worker or the parent can die. None may hang."""

import errno
import multiprocessing
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing
from functools import partial
from pathlib import Path

import psutil
import pytest
from processes import still_running

from megatron_proxy.common import parallel
from megatron_proxy.common.parallel import Workers
from megatron_proxy.common.pipes import Pipe, pack
from megatron_proxy.errors import CorpusError, ProxyError

WORK = str(Path(__file__).parents[1] / "helpers")


@pytest.fixture(autouse=True)
def jobs(monkeypatch):
    """Functions that workers can import."""
    monkeypatch.syspath_prepend(WORK)
    import jobs

    return jobs


@pytest.mark.parametrize("count", [0, 1, 3])
def test_results_keep_the_order_of_the_items(jobs, count):
    with Workers(partial(jobs.slow_first, 0.2), count) as workers:
        assert list(workers.map(range(20))) == [number * number for number in range(20)]


def test_no_more_than_a_few_items_are_under_way(jobs):
    taken = []
    with Workers(jobs.square, 2) as workers:
        for done, _ in enumerate(workers.map(taken.append(number) or number for number in range(50))):
            assert len(taken) - done <= 2 * 4 + 1


def test_workers_know_nothing_of_the_parents_modules(jobs):
    with Workers(jobs.loaded_modules, 1) as workers:
        (loaded,) = workers.map([["torch", "megatron"]])
    assert loaded == {"torch": False, "megatron": False}


@pytest.mark.parametrize("count", [0, 2])
def test_an_error_comes_when_its_turn_has_come(jobs, count):
    found = []
    with Workers(jobs.fail_at_five, count) as workers, pytest.raises(CorpusError, match=r"a:5: bad(.|\n)*mend it"):
        found.extend(workers.map(range(100)))
    assert found == [0, 1, 2, 3, 4]


def squares_in_another_process(temporary):
    """What a fresh process (the server is started once in each) says with another temporary folder."""
    script = (
        "import jobs, tempfile\n"
        "from megatron_proxy.errors import ProxyError\n"
        "from megatron_proxy.common.parallel import Workers\n"
        "try:\n"
        "    with Workers(jobs.square, 1) as workers:\n"
        "        print(*workers.map(range(3)), tempfile.gettempdir())\n"
        "except ProxyError as error:\n"
        "    print(error)"
    )
    environment = {**os.environ, "PYTHONPATH": WORK, "TMPDIR": str(temporary)}
    return subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True, env=environment
    ).stdout.strip()


def test_the_path_of_the_temporary_folder_may_be_long(tmp_path):
    """As it is for the jobs of many clusters: too long for a socket."""
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    assert squares_in_another_process(folder) == f"0 1 4 {folder}"
    assert list(folder.iterdir()) == []


def test_without_a_temporary_folder_it_is_told(jobs, monkeypatch):
    def refuse():
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    monkeypatch.setattr("megatron_proxy.common.parallel.get_temp_dir", refuse)
    with pytest.raises(ProxyError, match=r"TMPDIR: .*No usable(.|\n)*--workers 0"), Workers(jobs.square, 1):
        pass
    with Workers(jobs.square, 0) as workers:
        assert list(workers.map([3])) == [9]


def test_an_error_of_the_items_comes_last(jobs):
    def items():
        yield from range(5)
        raise CorpusError("the input ends")

    found = []
    with Workers(jobs.square, 2) as workers, pytest.raises(CorpusError, match="the input ends"):
        found.extend(workers.map(items()))
    assert found == [0, 1, 4, 9, 16]


def test_a_mistake_of_ours_arrives_with_its_traceback(jobs):
    with Workers(jobs.broken, 1) as workers, pytest.raises(RuntimeError, match=r"jobs\.py(.|\n)*KeyError: 'missing'"):
        list(workers.map([1]))


def test_a_setup_that_fails_is_an_error_not_a_hang(jobs):
    with Workers(jobs.bad_setup, 2) as workers, pytest.raises(ProxyError, match="no such model"):
        list(workers.map(range(5)))


@pytest.mark.parametrize("when", ["while it works", "while it writes a large result", "while idle"])
def test_a_killed_worker_ends_the_map(jobs, when):
    begin = time.monotonic()
    with Workers(jobs.huge if "large" in when else partial(jobs.slow_first, 60.0), 2) as workers:
        victim = multiprocessing.active_children()[0].pid
        idle = when == "while idle"

        def items():
            # The first ones are handed out before the next is asked for.
            yield from () if idle else range(4)
            time.sleep(0.3)
            os.kill(victim, signal.SIGKILL)
            yield from range(1, 1000)

        with pytest.raises(ProxyError, match=rf"worker process {victim} died \(killed by SIGKILL\)"):
            list(workers.map(items()))
    assert time.monotonic() - begin < 20


def test_a_worker_that_dies_before_it_begins_is_an_error(jobs):
    """What it is told kills it, before it takes an item or while it is sent one."""
    death = pytest.raises(ProxyError, match=r"worker process \d+ died \(killed by SIGKILL\)")
    with death, Workers(jobs.Fatal(), 2) as workers:
        list(workers.map(range(9)))


def test_a_worker_without_memory_ends_the_map(jobs):
    limit = resource.getrlimit(resource.RLIMIT_AS)
    with Workers(jobs.hungry, 1) as workers:
        resource.prlimit(multiprocessing.active_children()[0].pid, resource.RLIMIT_AS, (2 << 30, limit[1]))
        with pytest.raises(ProxyError, match=r"ran out of memory(.|\n)*fewer --workers|died"):
            list(workers.map([8 << 30]))


@pytest.mark.parametrize("kind", [MemoryError, SystemError])
def test_no_room_for_what_a_worker_is_told(jobs, kind, capfd):
    """Where memory runs out inside C, there may be nothing but a SystemError."""
    with pytest.raises(ProxyError, match=r"died \(out of memory\)"), Workers(jobs.Unfit(kind), 1) as workers:
        list(workers.map([1]))
    assert "Traceback" not in capfd.readouterr().err


@pytest.fixture
def own_life(jobs, monkeypatch):
    """A worker's life is led in this process, on what is already in its pipe; its ends."""
    monkeypatch.setattr(parallel.signal, "signal", lambda *args: None)
    ours, theirs = socket.socketpair()
    with ours, theirs, closing(Pipe(ours)) as pipe:
        for message in (jobs.square, 3):
            pipe.send(pack(message))
        ours.shutdown(socket.SHUT_WR)
        yield pipe, theirs


def test_a_thread_that_never_begins_is_not_waited_for(own_life, monkeypatch):
    """As where memory runs out before its first line."""
    monkeypatch.setattr(parallel, "start_new_thread", lambda function, args: None)
    pipe, theirs = own_life
    parallel._serve(theirs)
    assert pipe.receive() == 9


def test_no_room_for_a_thread_is_told_as_such(own_life, monkeypatch):
    def refuse(function, args):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(parallel, "start_new_thread", refuse)
    monkeypatch.setattr(parallel.os, "_exit", sys.exit)
    with pytest.raises(SystemExit, match=str(parallel._NO_MEMORY)):
        parallel._serve(own_life[1])


def test_giving_up_ends_workers_at_once(jobs):
    begin = time.monotonic()
    with Workers(partial(jobs.slow_first, 60.0), 2) as workers:
        processes = [psutil.Process(child.pid) for child in multiprocessing.active_children()]
        # The others take a minute each.
        assert next(workers.map([1, 0, 0, 0])) == 1
    assert not still_running(processes, seconds=5)
    assert time.monotonic() - begin < 10


def test_workers_end_with_a_parent_that_is_killed(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(
        "import multiprocessing, sys\n"
        f"sys.path.insert(0, {WORK!r})\n"
        "import jobs\n"
        "from functools import partial\n"
        "from megatron_proxy.common.parallel import Workers\n"
        "if __name__ == '__main__':\n"
        "    with Workers(partial(jobs.slow_first, 60.0), 2) as workers:\n"
        "        print(*(child.pid for child in multiprocessing.active_children()), flush=True)\n"
        "        list(workers.map(range(4)))\n"
    )
    parent = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)
    processes = [psutil.Process(int(number)) for number in parent.stdout.readline().split()]
    time.sleep(0.3)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert len(processes) == 2
    assert not still_running(processes, seconds=5)
