"""An ordered, bounded map over worker processes, for work that must come out the same with any number of them.

What it promises, and why it is not :class:`concurrent.futures.ProcessPoolExecutor`:

* Results come in the order of the items, and no more than a few items per worker are under way: memory stays flat.
* A worker that dies (killed, out of memory, a crash in a library) ends the map with an error. The executor shares one
  pipe between its workers, so one that dies while it writes a large result leaves the parent waiting for ever.
  Here each worker has a pipe of its own, and its death is the end of that pipe.
* Workers end with their parent, whatever ends it, and at once when the map is given up.
* Workers are light: they are forked from a fresh server process, which knows nothing of what the parent has loaded.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
import traceback
from _thread import LockType, allocate_lock, start_new_thread
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from multiprocessing.util import get_temp_dir
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Final, Self

from ..errors import ProxyError
from .pipes import receive, send

type Setup[Item, Result] = Callable[[], Callable[[Item], Result]]
"""Called once in each worker, at its first item; gives the function that turns items into results."""

# One item is worked on while the next is on its way.
_PER_WORKER: Final = 2
# Items finished but not yet taken, so that a slow item does not leave the other workers idle.
_AHEAD_PER_WORKER: Final = 4
_END_SECONDS: Final = 10.0
# For a thread to begin. Waits that are many and short outlast a machine that stands still for a while.
_START_WAITS: Final = 10
_START_SECONDS: Final = 0.5
# An exit code that nothing else uses.
_NO_MEMORY: Final = 73
# A socket's path has 107 bytes at most (unix(7)), of which the names below the temporary folder take up to 40.
_TEMPORARY_BYTES: Final = 64
_SHORT_FOLDER: Final = "/tmp"
_RUN_AGAIN: Final = (
    "if memory ran out, use fewer --workers; nothing half-made was left behind, so run the command again"
)


@dataclass(frozen=True)
class _Failure:
    error: Exception


@dataclass
class _Worker:
    process: BaseProcess
    connection: Connection
    under_way: int = 0


class Workers[Item, Result]:
    """Worker processes, as a context manager.

    Parameters
    ----------
    setup
        What each worker does; must be importable in another process (a module's function, or a partial of one).
    count
        How many processes; 0 does the work in this process.
    preload
        Modules that are worth importing once for all workers. What this process's first workers name counts.
    """

    def __init__(self, setup: Setup[Item, Result], count: int, preload: Sequence[str] = ()) -> None:
        self._setup = setup
        self._count = count
        self._preload = [__name__, *preload]
        self._workers: list[_Worker] = []

    def __enter__(self) -> Self:
        if self._count:
            _choose_temporary_folder()
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(self._preload)
        try:
            for _ in range(self._count):
                self._workers.append(_start(context))
            for worker in self._workers:
                _send(worker, self._setup)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        for worker in self._workers:
            worker.connection.close()
        for worker in self._workers:
            worker.process.join(_END_SECONDS)
            if worker.process.is_alive():
                worker.process.kill()
        self._workers = []

    @property
    def process_ids(self) -> list[int]:
        """The process ids of the workers."""
        return [int(worker.process.pid or 0) for worker in self._workers]

    def map(self, items: Iterable[Item]) -> Iterator[Result]:
        """The results of ``items``, in their order.

        An error, be it of a worker or of ``items``, is raised when its turn has come, after all results before it.

        Raises
        ------
        ProxyError
            If a worker dies, or runs out of memory.
        """
        if not self._count:
            yield from map(self._setup(), items)
            return
        numbered = enumerate(_with_errors(items))
        finished: dict[int, Result | _Failure] = {}
        next_number = 0
        while True:
            self._hand_out(numbered, len(finished))
            if not any(worker.under_way for worker in self._workers) and not finished:
                return
            if next_number not in finished:
                finished.update(self._collect())
            while next_number in finished:
                outcome = finished.pop(next_number)
                next_number += 1
                if isinstance(outcome, _Failure):
                    raise outcome.error
                yield outcome

    def _hand_out(self, numbered: Iterator[tuple[int, Item | _Failure]], finished: int) -> None:
        """Give every worker what it can hold, as long as not too many results wait to be taken."""
        while sum(worker.under_way for worker in self._workers) + finished < _AHEAD_PER_WORKER * self._count:
            worker = min(self._workers, key=lambda worker: worker.under_way)
            if worker.under_way >= _PER_WORKER or (task := next(numbered, None)) is None:
                return
            worker.under_way += 1
            _send(worker, task)

    def _collect(self) -> Iterator[tuple[int, Any]]:
        """Wait for at least one result; yields (number, result)."""
        ready = wait([worker.connection for worker in self._workers])
        for worker in self._workers:
            if worker.connection not in ready:
                continue
            try:
                yield receive(worker.connection)
            except (EOFError, OSError) as error:
                raise _died(worker) from error
            worker.under_way -= 1


def _with_errors[Item](items: Iterable[Item]) -> Iterator[Item | _Failure]:
    """The items; if making them fails, the failure comes last."""
    try:
        yield from items
    except ProxyError as error:
        yield _Failure(error)


def _choose_temporary_folder() -> None:
    """See to it that the folder which multiprocessing keeps for this process is one for the forking server's socket.

    Clusters give jobs long temporary paths; the server would not start there.

    Raises
    ------
    ProxyError
        If there is no such folder.
    """
    usual = tempfile.tempdir
    try:
        if len(os.fsencode(tempfile.gettempdir())) > _TEMPORARY_BYTES:
            tempfile.tempdir = _SHORT_FOLDER
        # It is made once, and then kept.
        get_temp_dir()
    except OSError as error:
        raise ProxyError(
            f"worker processes need a temporary folder with a short path ({error.strerror})",
            where="TMPDIR",
            fix=f"set TMPDIR to one of at most {_TEMPORARY_BYTES} bytes, or do without worker processes: --workers 0",
        ) from error
    finally:
        tempfile.tempdir = usual


def _start(context: ForkServerContext) -> _Worker:
    """Start a worker, which then waits to be told what to do.

    Raises
    ------
    ProxyError
        If it dies at once, or there is no room for it.
    """
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,), daemon=True)
    try:
        process.start()
    except (OSError, EOFError) as error:
        ours.close()
        raise ProxyError(f"a worker process died before it began ({error or 'killed'})", fix=_RUN_AGAIN) from error
    finally:
        theirs.close()
    return _Worker(process, ours)


def _send(worker: _Worker, message: object) -> None:
    try:
        send(worker.connection, message)
    except OSError as error:
        raise _died(worker) from error


def _died(worker: _Worker) -> ProxyError:
    worker.process.join(_END_SECONDS)
    code = worker.process.exitcode
    if code == _NO_MEMORY:
        how = "out of memory"
    else:
        how = f"exit code {code}" if code is None or code >= 0 else f"killed by {signal.Signals(-code).name}"
    return ProxyError(f"worker process {worker.process.pid} died ({how})", fix=_RUN_AGAIN)


def _serve(connection: Connection) -> None:
    """The life of a worker process: it is told what to do, and then does it."""
    # An interrupt at the keyboard reaches every process of the terminal; the parent decides what becomes of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        _work(connection, receive(connection))
    except (EOFError, OSError):
        # The parent is gone.
        return
    except (MemoryError, RuntimeError):
        # There is no room for what is to be done, or for the thread that listens. The parent sees the end of the pipe
        # and tells of it, where a traceback would only be in the way.
        os._exit(_NO_MEMORY)


def _work(connection: Connection, setup: Setup[Any, Any]) -> None:
    tasks: SimpleQueue[tuple[int, Any]] = SimpleQueue()
    _listen(connection, tasks)
    work: Callable[[Any], Any] | None = None
    while True:
        number, item = tasks.get()
        try:
            work = work or setup()
            outcome = item if isinstance(item, _Failure) else work(item)
        except Exception as error:  # Whatever it is, the parent raises it.
            outcome = _Failure(_portable(error))
        try:
            send(connection, (number, outcome))
        except MemoryError as error:
            send(connection, (number, _Failure(_portable(error))))
        # Large results must not outlive their sending.
        del item, outcome


def _listen(connection: Connection, tasks: SimpleQueue[tuple[int, Any]]) -> None:
    """Start the thread that listens.

    Raises
    ------
    RuntimeError
        If there is no room for it. A thread that runs out of memory before its first line ends without a word, and
        ``threading.Thread.start`` would wait for it for ever.
    """
    listening = allocate_lock()
    listening.acquire()
    start_new_thread(_receive, (connection, tasks, listening))
    if not any(listening.acquire(timeout=_START_SECONDS) for _ in range(_START_WAITS)):
        raise RuntimeError("the thread that listens has not started")


def _receive(connection: Connection, tasks: SimpleQueue[tuple[int, Any]], listening: LockType) -> None:
    """Take in what the parent sends, so that it never waits for a worker at work; end with the parent."""
    code = 1
    try:
        listening.release()
        while True:
            tasks.put(receive(connection))
    except (EOFError, OSError):
        code = 0
    finally:
        # Whatever happened, a worker that no longer listens must be seen to be dead.
        os._exit(code)


def _portable(error: Exception) -> Exception:
    """An error that can be sent to the parent: a user's error as it is, a mistake of ours with its traceback."""
    if isinstance(error, MemoryError):
        return ProxyError("a worker process ran out of memory", fix="use fewer --workers")
    if isinstance(error, ProxyError):
        return error
    return RuntimeError(f"in a worker process: {''.join(traceback.format_exception(error))}")
