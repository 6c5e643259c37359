"""An ordered, bounded map over worker processes, for work that must come out the same with any number of them.

What it promises, and why it is not :class:`concurrent.futures.ProcessPoolExecutor`:

* Results come in the order of the items, and no more than a few items per worker are under way: memory stays flat.
* A worker that dies (killed, out of memory, a crash in a library) ends the map with an error. The executor shares one
  pipe between its workers, so one that dies while it writes a large result leaves the parent waiting for ever.
  Here a thread waits for each worker at a pipe of its own, and the worker's death is the end of that pipe.
* Workers end with their parent, whatever ends it, and at once when the map is given up.
* Workers are light: they are forked from a fresh server process, which knows nothing of what the parent has loaded.
"""

from __future__ import annotations

import multiprocessing
import os
import select
import signal
import socket
import tempfile
import traceback
from _thread import start_new_thread
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from multiprocessing.context import ForkServerContext
from multiprocessing.util import get_temp_dir
from queue import SimpleQueue
from typing import Any, Final, Self

from ..errors import ProxyError
from .pipes import Pipe, pack

type Setup[Item, Result] = Callable[[], Callable[[Item], Result]]
"""Called once in each worker, at its first item; gives the function that turns items into results."""

# Items that wait, are worked on or are not yet taken, so that a slow one does not leave the other workers idle.
_AHEAD_PER_WORKER: Final = 4
_END_SECONDS: Final = 10.0
# An exit code that nothing else uses.
_NO_MEMORY: Final = 73
# A socket's path has 107 bytes at most (unix(7)), of which the names below the temporary folder take up to 40.
_TEMPORARY_BYTES: Final = 64
_RUN_AGAIN: Final = (
    "if memory ran out, use fewer --workers; nothing half-made was left behind, so run the command again"
)


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
        self._idle: SimpleQueue[_Worker] = SimpleQueue()
        self._threads = ThreadPoolExecutor(max(count, 1))
        self._death: ProxyError | None = None

    def __enter__(self) -> Self:
        if self._count:
            _choose_temporary_folder()
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(self._preload)
        try:
            for _ in range(self._count):
                self._workers.append(_Worker(context))
            for worker in self._workers:
                # If it is dead, its first item tells.
                with suppress(OSError):
                    worker.pipe.send(pack(self._setup))
                self._idle.put(worker)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._hang_up()
        self._threads.shutdown(cancel_futures=True)
        for worker in self._workers:
            worker.end()

    def _hang_up(self) -> None:
        for worker in self._workers:
            worker.pipe.hang_up()

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
        tasks = (self._threads.submit(self._outcome, item) for item in _with_errors(items))
        under_way: deque[Future[Result]] = deque()
        while True:
            under_way.extend(islice(tasks, _AHEAD_PER_WORKER * self._count - len(under_way)))
            if not under_way:
                return
            yield under_way.popleft().result()

    def _outcome(self, item: Item | ProxyError) -> Result:
        """What the next worker that is idle makes of an item; called in a thread, which waits for it."""
        if isinstance(item, ProxyError):
            raise item
        worker = self._idle.get()
        try:
            outcome: Result | Exception = worker.ask(item)
        except (EOFError, OSError) as error:
            self._death = self._death or worker.died()
            # What the others are at is not waited for.
            self._hang_up()
            raise self._death from error
        finally:
            self._idle.put(worker)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def _with_errors[Item](items: Iterable[Item]) -> Iterator[Item | ProxyError]:
    """The items; if making them fails, the error comes last."""
    try:
        yield from items
    except ProxyError as error:
        yield error


def _choose_temporary_folder() -> None:
    """See to it that the folder which multiprocessing keeps for this process is one for the forking server's socket.

    Clusters give jobs long temporary paths; the server would not start there.
    """
    usual = tempfile.tempdir
    try:
        if len(os.fsencode(tempfile.gettempdir())) > _TEMPORARY_BYTES:
            tempfile.tempdir = "/tmp"
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


class _Worker:
    """A worker process, which waits to be told what to do, and this process's end of its pipe."""

    def __init__(self, context: ForkServerContext) -> None:
        ours, theirs = socket.socketpair()
        self.pipe = Pipe(ours)
        self.process = context.Process(target=_serve, args=(theirs,), daemon=True)
        try:
            self.process.start()
        except (OSError, EOFError) as error:
            self.pipe.close()
            raise ProxyError(f"a worker process died before it began ({error or 'killed'})", fix=_RUN_AGAIN) from error
        finally:
            theirs.close()

    def ask(self, item: object) -> Any:
        """Its answer; an ``EOFError`` or ``OSError`` if it is dead."""
        self.pipe.send(pack(item))
        return self.pipe.receive()

    def died(self) -> ProxyError:
        """What to tell of its death."""
        self.process.join(_END_SECONDS)
        code = self.process.exitcode
        how = f"exit code {code}" if code is None or code >= 0 else f"killed by {signal.Signals(-code).name}"
        how = "out of memory" if code == _NO_MEMORY else how
        return ProxyError(f"worker process {self.process.pid} died ({how})", fix=_RUN_AGAIN)

    def end(self) -> None:
        """Wait until it has ended, as its pipe has."""
        self.pipe.close()
        self.process.join(_END_SECONDS)
        if self.process.is_alive():
            self.process.kill()


def _serve(end: socket.socket) -> None:
    """The life of a worker process: it is told what to do, and then does it."""
    # An interrupt at the keyboard reaches every process of the terminal; the parent decides what becomes of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        # Not threading.Thread, whose start waits for ever where memory runs out before the thread's first line.
        start_new_thread(_end_with_parent, (end,))
        _work(Pipe(end))
    except (EOFError, OSError):
        # The parent is gone.
        return
    except (MemoryError, RuntimeError, SystemError):
        # There is no room for what is to be done (of which the interpreter may forget the reason), or for the thread.
        # The parent sees the end of the pipe and tells of it, where a traceback would only be in the way.
        os._exit(_NO_MEMORY)


def _end_with_parent(end: socket.socket) -> None:
    """Wait until the parent hangs up or dies, then end this process in the midst of its work."""
    code = _NO_MEMORY
    try:
        hung_up = select.poll()
        # For nothing: that the other end is gone is told unasked.
        hung_up.register(end, 0)
        hung_up.poll()
        code = 0
    finally:
        os._exit(code)


def _work(pipe: Pipe) -> None:
    setup: Setup[Any, Any] = pipe.receive()
    work: Callable[[Any], Any] | None = None
    while True:
        item = pipe.receive()
        try:
            work = work or setup()
            answer = pack(work(item))
        except Exception as error:  # Whatever it is, the parent raises it.
            answer = pack(_portable(error))
        pipe.send(answer)
        # Large results must not outlive their sending.
        del item, answer


def _portable(error: Exception) -> Exception:
    """An error that can be sent to the parent: a user's error as it is, a mistake of ours with its traceback."""
    if isinstance(error, MemoryError):
        return ProxyError("a worker process ran out of memory", fix="use fewer --workers")
    if isinstance(error, ProxyError):
        return error
    return RuntimeError(f"in a worker process: {''.join(traceback.format_exception(error))}")
