"""Maps of files, and the limit on how many there may be."""

import errno
import resource

import numpy as np
import pytest

from megatron_proxy.common.storage import maps
from megatron_proxy.errors import ConfigurationError


def test_a_file_is_mapped_read_only(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    with (tmp_path / "x").open("rb") as file:
        units = maps.map_file(file)
    assert units.tolist() == [97, 98, 99]
    assert units.dtype == np.uint8
    assert not units.flags.writeable


@pytest.mark.parametrize(
    ("limits", "raised"),
    [
        ((1024, 4096), (4096, 4096)),
        ((1024, 10**9), (1 << 20, 10**9)),
        ((1024, resource.RLIM_INFINITY), (1 << 20, resource.RLIM_INFINITY)),
        ((4096, 4096), None),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), None),
    ],
)
def test_the_soft_limit_is_raised_to_the_hard_one(monkeypatch, limits, raised):
    set_to = []
    monkeypatch.setattr(resource, "getrlimit", lambda what: limits)
    monkeypatch.setattr(resource, "setrlimit", lambda what, pair: set_to.append(pair))
    maps.raise_limit()
    assert set_to == ([] if raised is None else [raised])


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
def test_the_limit_is_named(number):
    with pytest.raises(ConfigurationError, match=r"^ulimit -n: this process may hold no more than [\d,]+ files open"):
        maps.check_limit(OSError(number, "Too many"))
    maps.check_limit(OSError(errno.ENOENT, "none"))


def test_no_memory_is_no_fault_of_the_file():
    with pytest.raises(MemoryError, match="Cannot allocate memory"):
        maps.check_limit(OSError(errno.ENOMEM, "Cannot allocate memory"))
