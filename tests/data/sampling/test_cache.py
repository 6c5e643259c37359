"""Cached plans: written once, found again, and never taken for another plan."""

import json
import os
import random
import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from megatron_proxy.errors import DatasetError
from megatron_proxy.data.sampling import cache as plan_cache

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
    assert sorted(os.listdir(folder)) == [
        f"{KEY}-ProxyPlan-{x}" for x in ("description.json", "forms.npy", "pairs.npy")
    ]


def test_files_are_plain_npy_without_pickle(folder):
    check({name: np.load(folder / f"{KEY}-ProxyPlan-{name}.npy", allow_pickle=False) for name in ("pairs", "forms")})


def test_another_description_is_another_plan(folder):
    other = {**DESCRIPTION, "rate": 0.2}
    arrays = plan_cache.open_or_build(folder, other, lambda: iter([{"forms": np.zeros(1, np.uint8)}]))
    assert arrays["forms"].tolist() == [0]
    check(plan_cache.open_or_build(folder, DESCRIPTION, not_again))


def test_a_plan_that_is_not_there(tmp_path):
    with pytest.raises(DatasetError, match=r"not here\n.*--data-cache-path"):
        plan_cache.open_built(tmp_path, DESCRIPTION)


def path_of(folder, name):
    return folder / f"{KEY}-ProxyPlan-{name}"


def damage_truncated(folder):
    path = path_of(folder, "pairs.npy")
    path.write_bytes(path.read_bytes()[:-1])


def damage_missing(folder):
    path_of(folder, "forms.npy").unlink()


def damage_foreign_array(folder):
    """An npy file of the same size that holds another array."""
    path = path_of(folder, "pairs.npy")
    header, content = path.read_bytes()[:128], path.read_bytes()[128:]
    path.write_bytes(header.replace(b"(5, 2)", b"(2, 5)") + content)


def damage_foreign_description(folder):
    path = path_of(folder, "description.json")
    path.write_text(path.read_text().replace('"seed": 1', '"seed": 2'))


def damage_not_a_description(folder):
    path_of(folder, "description.json").write_text("[]")


def damage_wrong_entry(folder):
    path = path_of(folder, "description.json")
    content = json.loads(path.read_text())
    content["arrays"]["pairs"]["shape"] = "many"
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    "damage",
    [
        damage_truncated,
        damage_missing,
        damage_foreign_array,
        damage_foreign_description,
        damage_not_a_description,
        damage_wrong_entry,
    ],
)
def test_damage_is_found_by_all_and_mended_by_the_first_rank(folder, damage, caplog):
    damage(folder)
    with pytest.raises(DatasetError, match="of a cached plan is not usable"):
        plan_cache.open_built(folder, DESCRIPTION)
    check(plan_cache.open_or_build(folder, DESCRIPTION, parts))
    assert "damaged and is built again" in caplog.text
    check(plan_cache.open_built(folder, DESCRIPTION))


def test_no_flipped_bit_gives_other_data(folder):
    flips = random.Random(5)
    for name in ("description.json", "forms.npy", "pairs.npy"):
        path = path_of(folder, name)
        whole = path.read_bytes()
        for _ in range(20):
            place = flips.randrange(len(whole))
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << flips.randrange(8)]) + whole[place + 1 :])
            check(plan_cache.open_or_build(folder, DESCRIPTION, parts))
            assert path.read_bytes() == whole


def test_a_flipped_bit_in_a_header_is_found_by_every_rank(folder):
    path = path_of(folder, "pairs.npy")
    whole = path.read_bytes()
    for place in range(128):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with pytest.raises(DatasetError, match="header is another array's"):
            plan_cache.open_built(folder, DESCRIPTION)


def test_builders_at_once(tmp_path):
    def slowly():
        for part in parts():
            time.sleep(0.01)
            yield part

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: plan_cache.open_or_build(tmp_path, DESCRIPTION, slowly), range(16)))
    for arrays in found:
        check(arrays)
    assert len(os.listdir(tmp_path)) == 3


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
    old, fresh = (tmp_path / f".{KEY}-ProxyPlan-pairs.npy.{name}" for name in ("old", "fresh"))
    for path in (old, fresh):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    plan_cache.open_or_build(tmp_path, DESCRIPTION, parts)
    assert (old.exists(), fresh.exists()) == (False, True)


def test_a_copied_cache_is_found(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "elsewhere")
    check(plan_cache.open_or_build(tmp_path / "elsewhere", DESCRIPTION, not_again))
