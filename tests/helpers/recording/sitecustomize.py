"""Records where errors for users are made, in every Python process that has this folder on its path: `make errors`.

Python imports a module of this name by itself at start-up. One JSON line for each place and test goes to the file that
MEGATRON_PROXY_ERRORS_SEEN names; tests/docs/make_errors.py reads them.
"""

import functools
import importlib.util
import json
import multiprocessing
import os
import sys
from pathlib import Path

from megatron_proxy import errors

OUTPUT = os.environ.get("MEGATRON_PROXY_ERRORS_SEEN")
ROOT = Path(__file__).resolve().parents[3]
PACKAGE = ROOT / "megatron_proxy"


@functools.cache
def catalogue():
    spec = importlib.util.spec_from_file_location("make_errors", ROOT / "tests" / "docs" / "make_errors.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_errors"] = module
    spec.loader.exec_module(module)
    return module


@functools.cache
def kinds():
    return catalogue().kinds()


@functools.cache
def message_at(file, line):
    """The message whose call takes up the line; the innermost one, where calls are nested."""
    sites = [site for site in catalogue().sites_of(Path(file), kinds()) if site.first <= line <= site.last]
    return min(sites, key=lambda site: site.last - site.first).message if sites else None


@functools.cache
def write(message, test, text):
    # One write of one line: what other processes append meanwhile stays whole.
    line = json.dumps({"message": message, "test": test, "text": text}) + "\n"
    descriptor = os.open(OUTPUT, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(descriptor, line.encode())
    os.close(descriptor)


def record(error):
    frame = sys._getframe(2)
    test = os.environ.get("PYTEST_CURRENT_TEST", "").split(" (")[0].split("[")[0]
    file = frame.f_code.co_filename
    message = message_at(file, frame.f_lineno) if Path(file).is_relative_to(PACKAGE) else None
    if message is not None:
        # A worker's environment is that of the test for which the server was started that forks all workers.
        known = multiprocessing.parent_process() is None
        write(message, test if known else "", "" if known else str(error))
    elif file == errors.__file__:
        # Received from a worker process.
        write(None, test, str(error))


def install():
    original = errors.ProxyError.__init__

    def recorded(self, *args, **kwargs):
        original(self, *args, **kwargs)
        record(self)

    errors.ProxyError.__init__ = recorded


if OUTPUT:
    install()
