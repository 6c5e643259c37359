"""Waiting for processes that are not ours to wait for."""

import time

import psutil


def still_running(processes, seconds):
    """Those of ``processes`` that have not ended after some seconds.

    A dead process that its parent has not asked after yet (a zombie) has ended: in a container the first process, which
    inherits orphans, may ask late or never, and :func:`psutil.wait_procs` would wait for that.
    """
    end = time.monotonic() + seconds
    while alive := [process for process in processes if _runs(process)]:
        if time.monotonic() > end:
            break
        time.sleep(0.01)
    return alive


def _runs(process):
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
