"""Faults while a plan is cached: several builders, killed builders, full disks, flipped bits."""

import os
import random
import resource
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from megatron_proxy.data.sampling import cache

pytestmark = pytest.mark.long

JOB = Path(__file__).parent.parent / "helpers" / "plan_job.py"


def start(*words, **settings):
    command = [sys.executable, "-W", "ignore", JOB, *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **settings)


def finish(process):
    out, err = process.communicate(timeout=600)
    return process.returncode, out.strip(), err


@pytest.fixture(scope="module")
def digest(tmp_path_factory):
    """Of the plan that an undisturbed builder makes."""
    code, out, err = finish(start(tmp_path_factory.mktemp("quiet")))
    assert code == 0, err
    return out


def test_a_builder_killed_at_any_change_of_a_file(long, inject, survived):
    kind = "cache builder killed at a change of a file"
    code, out, err = finish(start("--crash", 100 if long else 3))
    inject(kind, int(out) if out else 1)
    assert code == 0, err
    survived(kind, int(out))
    assert int(out) > 3


def test_builders_at_once(tmp_path, digest, long, inject, survived):
    """Several build one plan; one of them is killed somewhere."""
    kind = "builders of one cache at once"
    for number in range(20 if long else 1):
        inject(kind)
        folder = tmp_path / str(number)
        builders = [start(folder) for _ in range(2)]
        victim = start(folder)
        with_luck = random.uniform(0, 3)
        try:
            victim.wait(with_luck)
        except subprocess.TimeoutExpired:
            victim.kill()
        victim.communicate()
        assert [finish(builder)[:2] for builder in builders] == [(0, digest)] * 2
        assert finish(start(folder))[:2] == (0, digest)
        survived(kind)


def test_a_full_disk(tmp_path, digest, long, inject, survived):
    """RLIMIT_FSIZE: no file may become longer. What was begun is gone, and with more room it works."""
    kind = "disk full while a cache is built"
    assert finish(start(tmp_path / "whole"))[1] == digest
    largest = max(path.stat().st_size for path in (tmp_path / "whole").iterdir())
    folder = tmp_path / "full"
    for limit in [largest * part // 8 for part in range(8)] if long else [largest - 1]:
        inject(kind)
        limited = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (limit, limit))
        code, _, err = finish(start(folder, preexec_fn=limited))
        assert code == 1
        assert "the plan cannot be written here (File too large)" in err
        assert "--data-cache-path" in err
        assert "Traceback" not in err
        assert not [name for name in os.listdir(folder) if name.startswith(".")]
        survived(kind)
    assert finish(start(folder))[:2] == (0, digest)


DESCRIPTION = {"seed": 1}
ARRAYS = {"forms": np.arange(3000, dtype=np.uint8), "index": np.arange(3000, dtype=np.int64).reshape(-1, 2)}


def test_bit_flips(tmp_path, long, inject, survived):
    """A plan with a flipped bit is found out when it is opened, and built anew."""
    cache.open_or_build(tmp_path, DESCRIPTION, lambda: iter([ARRAYS]))
    good = {path: path.read_bytes() for path in sorted(tmp_path.iterdir())}
    choose = random.Random()
    for number in range(1000 if long else 30):
        path, content = list(good.items())[number % len(good)]
        kind = f"bit flipped in a cached plan's {path.name.rpartition('-')[2]}"
        inject(kind)
        bit = choose.randrange(8 * len(content))
        bad = bytearray(content)
        bad[bit // 8] ^= 1 << bit % 8
        path.write_bytes(bad)
        found = cache.open_or_build(tmp_path, DESCRIPTION, lambda: iter([ARRAYS]))
        assert {name: array.tobytes() for name, array in found.items()} == {n: a.tobytes() for n, a in ARRAYS.items()}
        path.write_bytes(content)
        survived(kind)
