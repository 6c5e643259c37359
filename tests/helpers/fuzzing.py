"""How many inputs a fuzz test tries: few and always the same ones with all tests, many and new ones with FUZZ=long."""

import os
import resource
import signal
from contextlib import contextmanager

import hypothesis
import psutil
from hypothesis import HealthCheck

LONG = os.environ.get("FUZZ") == "long"
FACTOR = 30
_MORE_MEMORY = 4 << 30
_SECONDS = 3600 if LONG else 300

hypothesis.settings.register_profile(
    "fuzz",
    deadline=None,
    # In the short form a failure must be somebody's change, not bad luck.
    derandomize=not LONG,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)


def inputs(count):
    """Settings for a test that tries ``count`` inputs, thirty times as many in the long form."""
    profile = hypothesis.settings.get_profile("fuzz")
    return hypothesis.settings(profile, max_examples=count * FACTOR if LONG else count)


@contextmanager
def bounded():
    """An error if what is done takes 4 GiB of address space more than now, or minutes (an hour in the long form)."""
    now = psutil.Process().memory_info().vms
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now + _MORE_MEMORY, hard))
    handler = signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, handler)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _too_long(*_):
    raise TimeoutError("this takes too long")


def damaged(content, edits):
    """``content`` after some edits: (place as a fraction, how many bytes go, what comes there)."""
    for place, gone, new in edits:
        at = int(place * len(content))
        content = content[:at] + new + content[at + gone :]
    return content
