"""Programs that behave and programs that do not."""

import socket
import subprocess
import sys
import time

import pytest

from megatron_proxy.errors import ConfigurationError, UnsupportedError
from megatron_proxy.evaluation.code import sandbox
from megatron_proxy.evaluation.code.sandbox import Sandbox


@pytest.fixture(scope="module", autouse=True)
def _system_that_can_confine():
    try:
        Sandbox(20.0).run("")
    except UnsupportedError as error:
        pytest.skip(str(error))


PATIENT = Sandbox(20.0)
"""Other work on the same cores must not decide whether a good program passes."""


@pytest.mark.parametrize("program", ["", "assert 1 + 1 == 2", "import math, re, typing, hashlib", "print('x' * 10**6)"])
def test_programs_that_come_to_their_end_pass(program):
    assert PATIENT.run(program) == (True, "passed")


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("assert 1 == 2, 'no'", "AssertionError: no"),
        ("def f(:", "SyntaxError"),
        ("import sys; sys.exit(0)", "SystemExit"),
        ("import os; os._exit(0)", "ended before its end"),
        ("import os; os.write(1, b'passed'); os._exit(0)", "ended before its end"),
        ("def f(): return f()\nf()", "RecursionError"),
        ("import numpy", "ModuleNotFoundError"),
    ],
)
def test_programs_that_fail_in_any_way_do_not_pass(program, reason):
    passed, found = PATIENT.run(program)
    assert not passed
    assert reason in found


@pytest.mark.long
def test_time_is_limited():
    begin = time.monotonic()
    assert Sandbox(1.0).run("while True: pass") == (False, "timeout")
    assert Sandbox(1.0).run("import time; time.sleep(60)") == (False, "timeout")
    assert time.monotonic() - begin < 30


@pytest.mark.long
def test_no_program_outlives_its_time():
    # It leaves its session, and takes back what ends it with its parent.
    program = "import ctypes, os, time\nctypes.CDLL(None).prctl(1, 0, 0, 0, 0)\nos.setsid()\ntime.sleep(20)"
    begin = time.monotonic()
    assert Sandbox(1.0).run(program) == (False, "timeout")
    assert time.monotonic() - begin < 10


@pytest.mark.parametrize("number", [1, 2])
def test_what_a_program_writes_is_limited(number):
    assert PATIENT.run(f"import os\nwhile True: os.write({number}, b'x' * 65536)") == (False, "wrote too much")


@pytest.mark.parametrize(
    "program",
    [
        "import os\nif os.fork() == 0: os._exit(0)\nos.wait()",
        "import threading\nthread = threading.Thread(target=print)\nthread.start()\nthread.join()",
        "import os\nos.posix_spawn(os.__file__, ['x'], {})",
    ],
)
def test_there_are_no_further_processes_or_threads(program):
    assert any(told in PATIENT.run(program).reason for told in ("BlockingIOError", "can't start new thread"))


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf")])
def test_a_time_that_is_no_limit_is_refused(seconds):
    with pytest.raises(ConfigurationError, match="--seconds"):
        Sandbox(seconds)


def test_memory_is_limited():
    assert "MemoryError" in Sandbox(20.0, memory_bytes=256 << 20).run("x = bytearray(1 << 30)").reason


def test_files_cannot_be_read_or_written_or_removed(tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("data")
    for program in (f"open({str(precious)!r})", f"import os; os.remove({str(precious)!r})"):
        assert "FileNotFoundError" in PATIENT.run(program).reason
    assert "Read-only file system" in PATIENT.run("import os; os.remove(os.__file__)").reason
    assert "Read-only file system" in PATIENT.run("open('/new', 'w')").reason
    assert precious.read_text() == "data"


def test_there_is_no_network():
    with socket.create_server(("127.0.0.1", 0)) as server:
        program = f"import socket; socket.create_connection(('127.0.0.1', {server.getsockname()[1]}), 2)"
        assert not PATIENT.run(program).passed


def test_sockets_in_the_file_system_are_out_of_reach(tmp_path):
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        program = f"import socket; socket.socket(socket.AF_UNIX).connect({str(path)!r})"
        assert not PATIENT.run(program).passed


def test_nothing_is_inherited(monkeypatch):
    monkeypatch.setenv("SECRET", "key")
    assert PATIENT.run("import os; assert 'SECRET' not in os.environ").passed


def test_other_processes_are_out_of_reach():
    victim = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        assert "ProcessLookupError" in PATIENT.run(f"import os; os.kill({victim.pid}, 9)").reason
        assert victim.poll() is None
    finally:
        victim.kill()
        victim.wait()


@pytest.mark.parametrize(
    "program",
    [
        "import os; os.chroot('/usr')",
        "import ctypes, os\nif ctypes.CDLL(None).mount(b'none', b'/', None, 32, None): raise OSError('not remounted')",
        "import ctypes\na = (ctypes.c_uint64 * 4)(0, 1, 0, 0)\n"
        "if ctypes.CDLL(None).syscall(442, -100, b'/', 0x8000, ctypes.byref(a), 32): raise OSError('not writable')",
    ],
)
def test_confinement_cannot_be_taken_back(program):
    assert not PATIENT.run(program).passed


@pytest.mark.long
def test_outcomes_keep_the_order_of_the_programs():
    programs = [f"assert {number} % 3" for number in range(9)]
    assert [outcome.passed for outcome in PATIENT.run_all(programs, 3)] == [bool(number % 3) for number in range(9)]


def test_a_system_that_cannot_confine_runs_nothing(monkeypatch, tmp_path):
    child = tmp_path / "child.py"
    child.write_text("import sys\nprint('no namespaces', file=sys.stderr)\nsys.exit(77)\n")
    monkeypatch.setattr(sandbox, "_CHILD", child)
    with pytest.raises(UnsupportedError, match="--allow-code-execution: no namespaces"):
        PATIENT.run("x = 1")


def test_the_job_cannot_be_read_again():
    program = "import os, sys\nassert not sys.stdin.read()\nassert set(os.environ) <= {'LC_CTYPE'}"
    assert PATIENT.run(program).passed
