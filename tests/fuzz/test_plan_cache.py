"""Cached plans in any state: what is opened is the plan, or nothing."""

import json

import numpy as np
import pytest
from fuzzing import damaged, inputs
from hypothesis import given
from hypothesis import strategies as st

from megatron_proxy.data.sampling import cache
from megatron_proxy.errors import DatasetError

DESCRIPTION = {"seed": 1, "views": ["a", "b"]}
KEY = cache.key_of(DESCRIPTION)
NAMES = ("description.json", "forms.npy", "index.npy")
ARRAYS = {"forms": np.arange(40, dtype=np.uint8), "index": np.arange(60, dtype=np.int64).reshape(30, 2)}

edits = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 30), st.binary(max_size=9)), min_size=1, max_size=3)
anything = (
    st.none()
    | st.integers(-(2**70), 2**70)
    | st.sampled_from(["|O", "<i8", "|u1", "<f4", "object", "S5", "V8", [], [40], [-1], [2**63], [30, 2], [0]])
)


def path_of(folder, name):
    return folder / f"{KEY}-ProxyPlan-{name}"


def build():
    yield ARRAYS


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("cache")
    cache.open_or_build(made, DESCRIPTION, build)
    return made


@pytest.fixture(scope="module")
def whole(folder):
    return {name: path_of(folder, name).read_bytes() for name in NAMES}


@inputs(150)
@given(data=st.data())
def test_what_is_opened_is_the_plan(folder, whole, tried, data):
    tried("a cached plan")
    for name, content in whole.items():
        path_of(folder, name).write_bytes(content)
    name = data.draw(st.sampled_from(NAMES))
    content = damaged(whole[name], data.draw(edits))
    if data.draw(st.booleans()):
        # Of a description that still is one, in its own words.
        name, described = "description.json", json.loads(whole["description.json"])
        entry = described["arrays"][data.draw(st.sampled_from(sorted(ARRAYS)))]
        entry[data.draw(st.sampled_from(sorted(entry)))] = data.draw(anything)
        content = json.dumps(described).encode()
    path_of(folder, name).write_bytes(content)
    try:
        # What the other ranks do not read may be anything, but has the array's size.
        found = cache.open_built(folder, DESCRIPTION)
        assert {name: array.nbytes for name, array in found.items()} == {n: a.nbytes for n, a in ARRAYS.items()}
    except DatasetError:
        pass
    mended = cache.open_or_build(folder, DESCRIPTION, build)
    assert {name: array.tolist() for name, array in mended.items()} == {n: a.tolist() for n, a in ARRAYS.items()}
