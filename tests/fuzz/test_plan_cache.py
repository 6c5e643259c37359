"""Cached plans in any state: what is opened is the plan, or nothing."""

import json
import zlib

import numpy as np
import pytest
from fuzzing import damaged, inputs
from hypothesis import given
from hypothesis import strategies as st

from megatron_proxy.data.sampling import cache, plan_file
from megatron_proxy.errors import DatasetError

DESCRIPTION = {"seed": 1, "views": ["a", "b"]}
ARRAYS = {"forms": np.arange(40, dtype=np.uint8), "index": np.arange(60, dtype=np.int64).reshape(30, 2)}

edits = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 30), st.binary(max_size=9)), min_size=1, max_size=3)
anything = (
    st.none()
    | st.integers(-(2**70), 2**70)
    | st.sampled_from(["|O", "<i8", "|u1", "<f4", "object", "S5", "V8", [], [40], [-1], [2**63], [30, 2], [0]])
)


def build():
    yield ARRAYS


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("cache")
    cache.open_or_build(made, DESCRIPTION, build)
    return made


@pytest.fixture(scope="module")
def whole(folder):
    return cache.path_of(folder, DESCRIPTION).read_bytes()


def with_head(content, head):
    """A plan with another head, whose CRC-32 fits."""
    size = plan_file._HEAD.unpack(content[: plan_file._HEAD.size])[1]
    rest = content[plan_file._aligned(plan_file._HEAD.size + size) :]
    made = json.dumps(head).encode()
    packed = plan_file._HEAD.pack(plan_file.FORMAT, len(made), zlib.crc32(made)) + made
    return packed.ljust(plan_file._aligned(len(packed)), b"\0") + rest


def head_of(content):
    size = plan_file._HEAD.unpack(content[: plan_file._HEAD.size])[1]
    return json.loads(content[plan_file._HEAD.size : plan_file._HEAD.size + size])


@pytest.mark.long
@inputs(150)
@given(data=st.data())
def test_what_is_opened_is_the_plan(folder, whole, tried, data):
    tried("a cached plan")
    content = damaged(whole, data.draw(edits))
    sizes = {name: array.nbytes for name, array in ARRAYS.items()}
    if data.draw(st.booleans()):
        # Of a head that still is one, in its own words.
        head = head_of(whole)
        entry = head["arrays"][data.draw(st.sampled_from(sorted(ARRAYS)))]
        entry[data.draw(st.sampled_from(sorted(entry)))] = data.draw(anything)
        content = with_head(whole, head)
        # It may tell of other arrays between the same places.
        sizes = dict.fromkeys(ARRAYS)
    cache.path_of(folder, DESCRIPTION).write_bytes(content)
    try:
        # What the other ranks do not read may be anything, but has the array's size.
        found = cache.open_built(folder, DESCRIPTION)
        assert all(sizes[name] in (None, array.nbytes) for name, array in found.items())
    except DatasetError:
        pass
    mended = cache.open_or_build(folder, DESCRIPTION, build)
    assert {name: array.tolist() for name, array in mended.items()} == {n: a.tolist() for n, a in ARRAYS.items()}
