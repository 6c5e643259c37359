"""Freed memory is kept, unless the user has decided otherwise."""

import subprocess
import sys

import pytest

# Allocates and frees 64 MB again and again; tells how many pages the kernel had to clear.
SCRIPT = """
import resource
from megatron_proxy.adaptor.cpu import memory
import numpy as np
kept = memory.keep_freed()
np.ones(8 << 20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    np.ones(8 << 20)
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="glibc's settings")
@pytest.mark.parametrize(("variables", "kept"), [({}, "True"), ({"MALLOC_ARENA_MAX": "2"}, "False")])
def test_pages_are_cleared_once(variables, kept):
    environment = {"PATH": "/usr/bin", "NUMPY_MADVISE_HUGEPAGE": "0", **variables}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=True)
    answer, faults = done.stdout.split()
    assert answer == kept
    # 64 MB are 16,384 pages of 4 KiB.
    assert (int(faults) < 1000) == (kept == "True")
