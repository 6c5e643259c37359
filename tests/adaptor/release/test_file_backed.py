"""Large tensors lie in files: they take no memory that the kernel cannot have back."""

import errno
import os
import re
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from megatron_proxy.adaptor.release.file_backed import FileBacked  # noqa: E402
from megatron_proxy.errors import ProxyError  # noqa: E402

LEAST = 4096


def lies_in(folder, tensor):
    """Whether a tensor's first byte is mapped from a file of this folder."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        begin, end = (int(number, 16) for number in line.split()[0].split("-"))
        if begin <= tensor.data_ptr() < end:
            return str(folder) in line
    raise AssertionError("mapped nowhere")


def unevictable():
    """Bytes of the process's memory that belong to no file."""
    return 1024 * int(re.search(r"RssAnon:\s+(\d+)", Path("/proc/self/status").read_text())[1])


def test_what_is_made_empty_or_cloned_and_large_lies_in_a_file(tmp_path):
    whole = torch.arange(4096, dtype=torch.float32).view(64, 64)
    with FileBacked(tmp_path, LEAST):
        made = torch.empty(64, 64, dtype=torch.bfloat16).fill_(2)
        part = whole[32:].clone()
        layer = torch.nn.Linear(64, 64)
        small, strided = torch.empty(64, dtype=torch.float32), whole.t().clone()
    assert [lies_in(tmp_path, one) for one in (made, part, layer.weight)] == [True] * 3
    assert not lies_in(tmp_path, small)
    assert not lies_in(tmp_path, strided)
    assert not lies_in(tmp_path, torch.empty(64, 64))
    assert (made == 2).all()
    assert made.dtype == torch.bfloat16
    assert torch.equal(part, whole[32:])
    assert torch.equal(strided, whole.t())
    # Megatron's writer clones a tensor whose storage is not all its own.
    assert [one.untyped_storage().nbytes() == one.nbytes for one in (made, part)] == [True] * 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
def test_written_to_it_takes_no_memory_of_the_process_alone(tmp_path):
    size = 64 << 20
    with FileBacked(tmp_path):
        before = unevictable()
        made = torch.empty(size, dtype=torch.uint8).fill_(1)
        copy = made[: size // 2].clone()
        assert unevictable() - before < size // 8
    assert int(copy.sum()) == size // 2


def test_a_full_disk_is_told_before_anything_is_written_to_it(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with FileBacked(tmp_path, LEAST), pytest.raises(ProxyError, match="no room for a tensor of 16,384 bytes") as told:
        torch.empty(64, 64)
    assert str(tmp_path) in str(told.value)
    assert list(tmp_path.iterdir()) == []
