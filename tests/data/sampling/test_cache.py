"""Cached plans: written once, found again, and never taken for another plan."""

import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
import tracemalloc
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from megatron_proxy.data.sampling import cache as plan_cache
from megatron_proxy.data.sampling import plan_file
from megatron_proxy.errors import DatasetError

DESCRIPTION = {"seed": 1, "views": ["a", "b"], "rate": 0.1}
KEY = plan_cache.key_of(DESCRIPTION)


def parts():
    """Two arrays in pieces of different numbers of rows."""
    yield {"pairs": np.arange(6, dtype=np.int64).reshape(3, 2), "forms": np.array([1, 2], np.uint8)}
    yield {"forms": np.array([], np.uint8)}
    yield {"pairs": np.arange(6, 10, dtype=np.int64).reshape(2, 2), "forms": np.array([3], np.uint8)}


def not_again():
    raise AssertionError("built again")
    yield


def check(arrays):
    assert arrays["pairs"].tolist() == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]
    assert arrays["forms"].tolist() == [1, 2, 3]
    assert {name: array.dtype.name for name, array in arrays.items()} == {"pairs": "int64", "forms": "uint8"}


@pytest.fixture
def folder(tmp_path):
    """A folder with a plan in it."""
    check(plan_cache.open_or_build(tmp_path / "cache", DESCRIPTION, parts))
    return tmp_path / "cache"


def test_a_plan_is_built_once(folder):
    arrays = plan_cache.open_or_build(folder, DESCRIPTION, not_again)
    check(arrays)
    check(plan_cache.open_built(folder, dict(reversed(DESCRIPTION.items()))))
    assert not any(array.flags.writeable for array in arrays.values())
    assert os.listdir(folder) == [f"{KEY}-ProxyPlan.plan"]


def test_another_description_is_another_plan(folder):
    other = {**DESCRIPTION, "rate": 0.2}
    arrays = plan_cache.open_or_build(folder, other, lambda: iter([{"forms": np.zeros(1, np.uint8)}]))
    assert arrays["forms"].tolist() == [0]
    check(plan_cache.open_or_build(folder, DESCRIPTION, not_again))


def test_a_plan_that_is_not_there(tmp_path):
    with pytest.raises(DatasetError, match=r"not here\n.*--data-cache-path"):
        plan_cache.open_built(tmp_path, DESCRIPTION)


def plan_of(folder):
    return plan_cache.path_of(folder, DESCRIPTION)


def damage_truncated(folder):
    plan_of(folder).write_bytes(plan_of(folder).read_bytes()[:-1])


def damage_empty(folder):
    plan_of(folder).write_bytes(b"")


def damage_foreign_description(folder):
    other = plan_cache.open_or_build(folder, {**DESCRIPTION, "seed": 2}, parts)
    os.replace(plan_cache.path_of(folder, {**DESCRIPTION, "seed": 2}), plan_of(folder))
    check(other)


def damage_not_a_plan(folder):
    plan_of(folder).write_text("[]" * 1000)


def damage_entry(name, value):
    """Another value of one of the arrays' entries, in a head that is whole."""

    def damage(folder):
        content = plan_of(folder).read_bytes()
        head, size = plan_file._HEAD, plan_file._HEAD.unpack(content[: plan_file._HEAD.size])[1]
        stored = json.loads(content[head.size : head.size + size])
        stored["arrays"]["pairs"][name] = value
        made = json.dumps(stored).encode()
        begin = plan_file._aligned(head.size + len(made))
        packed = head.pack(plan_file.FORMAT, len(made), zlib.crc32(made)) + made
        plan_of(folder).write_bytes(packed.ljust(begin, b"\0") + content[plan_file._aligned(head.size + size) :])

    return damage


@pytest.mark.parametrize(
    "damage",
    [
        damage_truncated,
        damage_empty,
        damage_foreign_description,
        damage_not_a_plan,
        damage_entry("shape", "many"),
        damage_entry("shape", [2, -2]),
        damage_entry("shape", [2**40, 2]),
        damage_entry("place", 1),
        damage_entry("place", -64),
        damage_entry("dtype", "|O"),
        damage_entry("name", 3),
    ],
)
def test_damage_is_found_by_all_and_mended_by_the_first_rank(folder, damage, caplog):
    damage(folder)
    with pytest.raises(DatasetError, match="this cached plan is not usable"):
        plan_cache.open_built(folder, DESCRIPTION)
    check(plan_cache.open_or_build(folder, DESCRIPTION, parts))
    assert "damaged and is built again" in caplog.text
    check(plan_cache.open_built(folder, DESCRIPTION))


def flipped(content, place, bit):
    return content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :]


def test_no_flipped_bit_gives_other_data(folder):
    flips = random.Random(5)
    for _ in range(40):
        whole = plan_of(folder).read_bytes()
        plan_of(folder).write_bytes(flipped(whole, flips.randrange(len(whole)), flips.randrange(8)))
        check(plan_cache.open_or_build(folder, DESCRIPTION, parts))
        check(plan_cache.open_built(folder, DESCRIPTION))


def test_a_flipped_bit_in_the_head_is_found_by_every_rank(folder):
    whole = plan_of(folder).read_bytes()
    for place in range(plan_file._HEAD.size + plan_file._HEAD.unpack(whole[: plan_file._HEAD.size])[1]):
        plan_of(folder).write_bytes(flipped(whole, place, 2))
        with pytest.raises(DatasetError, match="this cached plan is not usable"):
            plan_cache.open_built(folder, DESCRIPTION)


def test_a_damaged_size_takes_no_memory(folder):
    whole = plan_of(folder).read_bytes()
    plan_of(folder).write_bytes(plan_file._HEAD.pack(plan_file.FORMAT, 2**32 - 1, 0) + whole[plan_file._HEAD.size :])
    tracemalloc.start()
    try:
        with pytest.raises(DatasetError, match="this cached plan is not usable"):
            plan_cache.open_built(folder, DESCRIPTION)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.fixture
def read(monkeypatch):
    """How many bytes were compared with their CRC-32 since the list was last cleared."""
    sizes, crc_of = [], plan_file._crc_of
    monkeypatch.setattr(plan_file, "_crc_of", lambda file, size: (sizes.append(size), crc_of(file, size))[1])
    monkeypatch.setattr(plan_cache, "_trusted", set())
    return sizes


def test_a_plan_that_nobody_has_changed_is_not_read(folder, read):
    plan_cache.open_or_build(folder, DESCRIPTION, not_again)
    assert read == []


def test_a_plan_with_another_time_is_read_once(folder, read, monkeypatch):
    os.utime(plan_of(folder))
    plan_cache.open_or_build(folder, DESCRIPTION, not_again)
    assert sorted(read) == [3, 80]
    # It was given its time back: the next process need not read it either.
    monkeypatch.setattr(plan_cache, "_trusted", set())
    plan_cache.open_or_build(folder, DESCRIPTION, not_again)
    assert len(read) == 2


def test_a_plan_that_cannot_be_given_its_time_is_read_once_by_a_process(folder, read, monkeypatch):
    os.utime(plan_of(folder))

    def refuse(*args):
        raise PermissionError

    monkeypatch.setattr(os, "utime", refuse)
    for _ in range(3):
        plan_cache.open_or_build(folder, DESCRIPTION, not_again)
    assert len(read) == 2


def test_checking_reads_every_byte_whatever_the_time(folder, read):
    assert plan_cache.check(plan_of(folder)) == plan_of(folder).stat().st_size
    assert sorted(read) == [3, 80]
    times = plan_of(folder).stat()
    whole = plan_of(folder).read_bytes()
    plan_of(folder).write_bytes(flipped(whole, len(whole) - 1, 0))
    os.utime(plan_of(folder), ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(DatasetError, match=r"the CRC-32 of \w+ does not fit"):
        plan_cache.check(plan_of(folder))


def test_a_plan_takes_one_file(folder):
    before = len(os.listdir("/proc/self/fd"))
    arrays = plan_cache.open_built(folder, DESCRIPTION)
    assert len(os.listdir("/proc/self/fd")) - before <= 1
    check(arrays)


def test_a_plan_that_comes_late_is_waited_for(folder, monkeypatch):
    """A client of a network file system does not know of a new file at once."""
    away = plan_of(folder).rename(folder / "away")
    pauses = []

    def sleep(seconds):
        pauses.append(seconds)
        if len(pauses) == 3:
            away.rename(plan_of(folder))

    monkeypatch.setattr(plan_cache.time, "sleep", sleep)
    check(plan_cache.open_built(folder, DESCRIPTION, wait=60.0))
    assert pauses == [0.1, 0.2, 0.4]


def test_a_plan_that_never_comes_is_given_up(tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(plan_cache.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(plan_cache.time, "sleep", lambda seconds: clock.__setitem__(0, clock[0] + seconds))
    with pytest.raises(DatasetError, match="not here"):
        plan_cache.open_built(tmp_path, DESCRIPTION, wait=60.0)
    assert 60.0 <= clock[0] < 63.0


def test_builders_at_once(tmp_path):
    def slowly():
        for part in parts():
            time.sleep(0.01)
            yield part

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: plan_cache.open_or_build(tmp_path, DESCRIPTION, slowly), range(16)))
    for arrays in found:
        check(arrays)
    assert os.listdir(tmp_path) == [f"{KEY}-ProxyPlan.plan"]


@pytest.mark.parametrize(("shared", "builds"), [(False, 1), (True, 4)])
def test_one_process_of_a_machine_builds(tmp_path, monkeypatch, shared, builds):
    """Over a network, where locks may hang, whoever is told to build does."""
    monkeypatch.setattr(plan_cache.filesystems, "is_shared", lambda folder: shared)
    begun, all_have_begun = [], threading.Barrier(builds, timeout=30)

    def build():
        begun.append(1)
        all_have_begun.wait()
        yield from parts()

    with ThreadPoolExecutor(4) as pool:
        for arrays in pool.map(lambda _: plan_cache.open_or_build(tmp_path, DESCRIPTION, build), range(4)):
            check(arrays)
    assert len(begun) == builds


def test_a_build_that_fails_leaves_nothing(tmp_path):
    def failing():
        yield from parts()
        raise DatasetError("no more")

    with pytest.raises(DatasetError, match="no more"):
        plan_cache.open_or_build(tmp_path, DESCRIPTION, failing)
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(DatasetError, match=r"cannot be written here(.|\n)*--data-cache-path"):
        plan_cache.open_or_build(tmp_path / "file", DESCRIPTION, parts)


def test_what_a_killed_builder_left_is_removed_after_a_day(tmp_path):
    old, fresh = (tmp_path / f".{KEY}-ProxyPlan.plan.{name}" for name in ("old", "fresh"))
    for path in (old, fresh):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    plan_cache.open_or_build(tmp_path, DESCRIPTION, parts)
    assert (old.exists(), fresh.exists()) == (False, True)


def test_a_copied_cache_is_found(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "elsewhere")
    check(plan_cache.open_or_build(tmp_path / "elsewhere", DESCRIPTION, not_again))


def test_a_limit_on_files_is_no_damage(folder, tmp_path):
    """With the limit used up, the error says so, and nothing is built again."""
    script = (
        "import os, resource, sys\n"
        "from megatron_proxy.data.sampling import cache\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))\n"
        "held = []\n"
        "try:\n"
        "    while True: held.append(os.open('/dev/null', os.O_RDONLY))\n"
        "except OSError: pass\n"
        "try: cache.open_or_build(sys.argv[1], {'seed': 1, 'views': ['a', 'b'], 'rate': 0.1}, lambda: 1 / 0)\n"
        "except ValueError as error: os.write(1, str(error).encode())\n"
    )
    done = subprocess.run([sys.executable, "-c", script, folder], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("ulimit -n: this process may hold no more than 32 files open (Too many open files)")
