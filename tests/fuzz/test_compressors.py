"""Symbols, dictionaries, models and tries that no compressor has made."""

import base64
from contextlib import suppress
from functools import cache

import numpy as np
import pytest
from fuzzing import damaged, inputs
from golden_compressors import FIXTURES, files_of, golden, load, record
from hypothesis import given
from hypothesis import strategies as st

from megatron_proxy.errors import CompressorError

TEXT = (FIXTURES / "text.txt").read_bytes()[:700]
NAMES = sorted(path.name for path in FIXTURES.iterdir() if path.is_dir())
WITH_FILES = [name for name in NAMES if record(name)["files"]]

edits = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 9), st.binary(max_size=9)), min_size=1, max_size=4)
anything = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.lists(st.integers())
whole = cache(golden)


@pytest.mark.parametrize("name", NAMES)
@inputs(25)
@given(data=st.data())
def test_any_symbols_are_decoded_or_refused(tried, name, data):
    tried(f"symbols for {name}")
    dtype = np.dtype(record(name)["dtype"])
    codes = np.frombuffer(base64.b64decode(record(name)["codes"]), dtype)[: data.draw(st.integers(0, 300))]
    # Of any size: a damaged view holds what its dtype can hold.
    numbers = st.integers(0, int(np.iinfo(dtype).max)) | st.integers(0, whole(name).vocabulary.num_codes - 1)
    for _ in range(data.draw(st.integers(0, 5))):
        place = data.draw(st.integers(0, len(codes)))
        new = np.array(data.draw(st.lists(numbers, max_size=20)), dtype)
        codes = np.concatenate([codes[:place], new, codes[place + data.draw(st.integers(0, 3)) :]])
    with suppress(CompressorError):
        assert isinstance(whole(name).decode(codes), bytes)


@pytest.mark.long
@pytest.mark.parametrize("name", WITH_FILES)
@inputs(40)
@given(data=st.data())
def test_a_compressor_of_damaged_files_is_refused_or_keeps_its_promise(tried, name, data):
    tried(f"files of {name}")
    files = dict(files_of(name))
    suffix = data.draw(st.sampled_from(sorted(files)))
    files[suffix] = damaged(files[suffix], data.draw(edits))
    keeps_its_promise(name, record(name)["config"], files)


@pytest.mark.parametrize("name", NAMES)
@inputs(20)
@given(data=st.data())
def test_a_compressor_of_any_configuration_is_refused_or_keeps_its_promise(tried, name, data):
    tried(f"configuration of {name}")
    config = dict(record(name)["config"])
    for key in data.draw(st.lists(st.sampled_from([*sorted(config), "another"]), max_size=2)):
        config[key] = data.draw(anything)
    if data.draw(st.booleans()):
        config.pop(data.draw(st.sampled_from([*sorted(config), "another"])), None)
    keeps_its_promise(name, config, files_of(name))


def keeps_its_promise(name, config, files):
    with suppress(CompressorError):
        made = load(name, config, files)
        codes = made.encode(TEXT)
        assert not made.lossless or made.decode(codes) == TEXT
