"""A process that has Megatron loaded, and forks each run of Python from itself.

    python forking.py MODULE …

loads the modules, then reads a request a line from its standard input (JSON, see :class:`Request`) and answers each
with an exit code, a line on its standard output. For each rank of a request it forks a process, which leaves the loop
below and goes on as ``python -m MODULE ARGS…`` or ``python -c CODE`` do from their first line on, with the request's
folder, environment and arguments, to the ordinary end of an interpreter. Nothing of ours is loaded before.

Several ranks are started as torchrun starts them: with its variables, a store that is listening before they look for
it, on a port that the system picks, and an end to all when one fails.

What is not as in a process of its own: the warnings and times of Megatron's import are not the run's, the seed of
string hashes is that of all ranks, and where multiprocessing is asked to spawn (Megatron's checkpoint writers talk
through such a process, which would import torch again) it forks.
"""

import argparse
import ctypes
import functools
import gc
import importlib
import inspect
import json
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import time
import types
import warnings
from contextlib import suppress
from typing import NamedTuple, NoReturn

TIMED_OUT = 124
"""The exit code of a run that was ended because it took too long, as that of timeout(1)."""
_PR_SET_PDEATHSIG = 1


class Request(NamedTuple):
    """A run: the words after ``python``, how many ranks, where, and the file for all that they print."""

    words: list[str]
    ranks: int
    folder: str
    environment: dict[str, str]
    log: str
    seconds: float


class Forker:
    """The process, from the outside: it has the Megatron of a ``PYTHONPATH``."""

    def __init__(self, modules: list[str], environment: dict[str, str]) -> None:
        self.path = environment["PYTHONPATH"]
        command = [sys.executable, __file__, *modules]
        self._process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
        )

    def run(self, request: Request) -> int:
        """The exit code of a run."""
        print(json.dumps(request._asdict()), file=self._process.stdin, flush=True)
        if not (answer := self._process.stdout.readline()):
            raise RuntimeError(f"forking: the process that has Megatron loaded has ended ({self._process.wait()})")
        return int(answer)

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def kill(self) -> None:
        """End the process and the run that it is at, if there is one."""
        self._process.kill()
        self._process.communicate()


def serve(modules: list[str]) -> None:
    """Answer requests until there are none; returns in a rank alone."""
    _end_with_parent()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    # What an import prints is no answer.
    os.dup2(2, 1)
    before = dict(os.environ)
    for module in modules:
        importlib.import_module(module)
    _read_sources_once()
    # Of torch, one.
    variables = {name: value for name, value in os.environ.items() if before.get(name) != value}
    # A thread would not be there in a forked process, but the locks that it holds would be.
    if (threads := len(os.listdir("/proc/self/task"))) > 1:
        sys.exit(f"forking: the imports have started {threads - 1} threads")
    # What is there now stays: the ranks need not look through it, and so copy it, to find that out.
    gc.freeze()
    for line in sys.stdin:
        request = Request(**json.loads(line))
        code = run(request._replace(environment=variables | request.environment))
        if code is None:
            answers.close()
            return
        print(code, file=answers, flush=True)
    sys.exit()


def _read_sources_once() -> None:
    """Megatron makes flags from the sources of classes: a fifth of a short run, which is done here for all."""
    inspect.getsource = functools.cache(inspect.getsource)
    if "megatron.training" in sys.modules:
        arguments = importlib.import_module("megatron.training.arguments")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            arguments.add_megatron_arguments(argparse.ArgumentParser())


def run(request: Request) -> int | None:
    """The exit code of a run, with several ranks as torchrun gives it; None in the ranks."""
    if request.ranks == 1:
        return _run(request, [{}])
    store, port = _start_store()
    code = _run(request, [_as_by_torchrun(rank, request.ranks, port) for rank in range(request.ranks)])
    if code is not None:
        _end(store)
    return code


def _run(request: Request, variables: list[dict[str, str]]) -> int | None:
    ranks = []
    for own in variables:
        if not (pid := os.fork()):
            _become(request, own)
            return None
        os.setpgid(pid, pid)
        ranks.append(pid)
    codes = _codes(ranks, time.monotonic() + request.seconds)
    for rank in ranks:
        # What it has started, too.
        with suppress(ProcessLookupError):
            os.killpg(rank, signal.SIGKILL)
        if rank not in codes:
            os.waitpid(rank, 0)
    if failed := [code for code in codes.values() if code]:
        return failed[0] if len(ranks) == 1 else 1
    return 0 if len(codes) == len(ranks) else TIMED_OUT


def _codes(ranks: list[int], end: float) -> dict[int, int]:
    """The exit codes of those that have ended once all have, or one has failed, or it is time."""
    codes: dict[int, int] = {}
    while len(codes) < len(ranks) and not any(codes.values()) and time.monotonic() < end:
        time.sleep(0.005)
        for rank in set(ranks) - set(codes):
            pid, status = os.waitpid(rank, os.WNOHANG)
            if pid:
                codes[rank] = os.waitstatus_to_exitcode(status)
    return codes


def _become(request: Request, variables: dict[str, str]) -> None:
    """Make this process the one that a shell would have started."""
    _end_with_parent()
    output = os.open(request.log, os.O_WRONLY | os.O_APPEND)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.chdir(request.folder)
    os.environ.clear()
    os.environ.update(request.environment | variables)
    multiprocessing.context._concrete_contexts["spawn"] = multiprocessing.get_context("fork")
    sys.argv = request.words


def go_on() -> None:
    """Do what ``python`` does with the words in ``sys.argv``."""
    option, what = sys.argv[0], sys.argv.pop(1)
    if option == "-m":
        sys.path[0] = os.getcwd()
        # What `python -m` calls.
        runpy._run_module_as_main(what)
    else:
        sys.path[0] = ""
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(what, "<string>", "exec"), vars(main))


def _as_by_torchrun(rank: int, ranks: int, port: int) -> dict[str, str]:
    """The variables that torchrun sets for a rank, but that of the file for its errors."""
    variables = dict.fromkeys(("RANK", "LOCAL_RANK", "ROLE_RANK"), rank)
    variables |= dict.fromkeys(("WORLD_SIZE", "LOCAL_WORLD_SIZE", "ROLE_WORLD_SIZE"), ranks)
    variables |= {"GROUP_RANK": 0, "GROUP_WORLD_SIZE": 1, "ROLE_NAME": "default"}
    variables |= {"MASTER_ADDR": "localhost", "MASTER_PORT": port, "TORCHELASTIC_USE_AGENT_STORE": True}
    variables |= {"TORCHELASTIC_RESTART_COUNT": 0, "TORCHELASTIC_MAX_RESTARTS": 0, "TORCHELASTIC_RUN_ID": port}
    variables |= {"TORCHELASTIC_SIGNALS_TO_HANDLE": "SIGTERM,SIGINT,SIGHUP,SIGQUIT"}
    variables |= {"TORCH_NCCL_ASYNC_ERROR_HANDLING": 1}
    return {name: str(value) for name, value in variables.items()}


def _start_store() -> tuple[int, int]:
    """A process that keeps a store at which ranks find each other, and its port. (A store needs threads.)"""
    reading, writing = os.pipe()
    if not (pid := os.fork()):
        _keep_store(writing)
    os.close(writing)
    with os.fdopen(reading) as answer:
        return pid, int(answer.read())


def _keep_store(writing: int) -> NoReturn:
    _end_with_parent()
    try:
        distributed = importlib.import_module("torch.distributed")
        store = distributed.TCPStore("localhost", 0, is_master=True, wait_for_workers=False)
        os.write(writing, str(store.port).encode())
        os.close(writing)
        signal.pause()
    finally:
        os._exit(1)


def _end(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def _end_with_parent() -> None:
    """Have the kernel kill this process when the one that started it is gone."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    serve(sys.argv[1:])
    go_on()
