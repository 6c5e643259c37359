"""Prepared datasets by somebody who means ill: every checksum fits, and nothing else need."""

import hashlib
import json
import shutil
from contextlib import suppress

import pytest
import tiny_data
from fuzzing import damaged, inputs
from hypothesis import given
from hypothesis import strategies as st

from megatron_proxy.data.dataset.layout import Layout
from megatron_proxy.data.dataset.opened import PreparedDataset
from megatron_proxy.data.dataset.verify import verify
from megatron_proxy.data.sampling import planner
from megatron_proxy.data.sampling.plan import DocumentSizes, PlanSpec
from megatron_proxy.data.sampling.schedule import Mode, Schedule
from megatron_proxy.data.sampling.windows import Windows
from megatron_proxy.errors import ProxyError

NAMES = ("zstd", "trie", "gzip")

hostile = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.sampled_from(["..", "../p", "/etc/passwd", "a\0", "\ud800", "zstd", "object", "uint64", "int32", "|O", ""])
    | st.lists(st.integers(-5, 5), max_size=2)
    | st.dictionaries(st.text(max_size=3), st.integers(), max_size=2)
)
edits = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 9), st.binary(max_size=9)), min_size=1, max_size=2)
# An index whose lengths and pointers change, without a change of its size.
numbers = st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=8)), min_size=1, max_size=3)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A dataset with three views; its files as bytes."""
    folder = tmp_path_factory.mktemp("good")
    made = [tiny_data.prepare(folder / "p", tiny_data.documents(8, words=6), name=name) for name in NAMES]
    views_of_all = {name: one.compressed[name] for name, one in zip(NAMES, made, strict=True)}
    Layout(folder / "p").manifest.write_text(made[0].with_views(views_of_all).to_json())
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("bad")


def write(folder, files):
    shutil.rmtree(folder)
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)


def sealed(content):
    """The JSON of a manifest, with a checksum that fits."""
    content.pop("checksum", None)
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return json.dumps({**content, "checksum": digest}).encode()


def places(content, path=()):
    """The path of every entry in a JSON value."""
    for name in content if isinstance(content, dict) else ():
        yield (*path, name)
        yield from places(content[name], (*path, name))


def resealed(good, changed):
    """All files, some of them changed, with their sizes and SHA-256 in the manifest."""
    content = json.loads(good["p_manifest.json"])
    for stored in stored_files(content):
        if stored["name"] in changed:
            stored["size"] = len(changed[stored["name"]])
            stored["sha256"] = hashlib.sha256(changed[stored["name"]]).hexdigest()
    return {**good, **changed, "p_manifest.json": sealed(content)}


def stored_files(content):
    if isinstance(content, dict):
        if set(content) == {"name", "size", "sha256"}:
            yield content
        for inner in content.values():
            yield from stored_files(inner)


def use(prefix):
    """All that is done with a dataset: verifying, restoring its compressors, planning a run, reading its samples."""
    with suppress(ProxyError):
        verify(str(prefix), deep=True, workers=0, log_interval=10**9)
    for name in NAMES:
        with suppress(ProxyError):
            PreparedDataset.open(prefix).compressor(name).symbol_bytes()
        with suppress(ProxyError):
            train(prefix, name)


def train(prefix, name):
    """Plan a short run as training does, and read its windows."""
    dataset = PreparedDataset.open(prefix)
    dataset.check(name)
    entry = dataset.compressed(name)
    raw, codes = dataset.raw(), dataset.codes(name)
    spans = dataset.spans(name)
    for mode in [Mode.SENTINEL, *([Mode.INTERLEAVED] if entry.spans else [])]:
        schedule = Schedule.constant(0.5, mode)
        spec = PlanSpec(1, 32, schedule, horizon_samples=8, num_samples=8, documents=range(len(raw)))
        plan = planner.build(spec, DocumentSizes(raw.sequence_lengths, codes.sequence_lengths, spans))
        windows = Windows(plan, raw, codes, entry.vocabulary, spans)
        for sample in range(len(plan)):
            assert len(windows[sample]) == 33


@pytest.mark.long
@inputs(40)
@given(data=st.data())
def test_any_manifest_is_used_or_refused(good, folder, tried, data):
    tried("a manifest whose checksum fits")
    content = json.loads(good["p_manifest.json"])
    for path in data.draw(st.lists(st.sampled_from(sorted(places(content))), min_size=1, max_size=3)):
        place = content
        for name in path[:-1]:
            place = place.get(name) if isinstance(place, dict) else None
        if isinstance(place, dict):
            place[path[-1]] = data.draw(hostile)
    write(folder, {**good, "p_manifest.json": sealed(content)})
    use(folder / "p")


@pytest.mark.long
@inputs(40)
@given(data=st.data())
def test_any_index_is_used_or_refused(good, folder, tried, data):
    tried("an index whose checksum fits")
    name = data.draw(st.sampled_from(sorted(name for name in good if name.endswith(".idx"))))
    content = good[name]
    if data.draw(st.booleans()):
        content = damaged(content, data.draw(edits))
    else:
        for place, new in data.draw(numbers):
            at = 34 + int(place * (len(content) - 34 - len(new)))
            content = content[:at] + new + content[at + len(new) :]
    write(folder, resealed(good, {name: content}))
    use(folder / "p")


@pytest.mark.long
@inputs(40)
@given(data=st.data())
def test_any_content_is_used_or_refused(good, folder, tried, data):
    tried("a view whose checksum fits")
    name = data.draw(st.sampled_from(sorted(name for name in good if name.endswith(".bin"))))
    content = bytearray(good[name])
    for place, new in data.draw(numbers):
        at = int(place * max(0, len(content) - len(new)))
        content[at : at + len(new)] = new[: len(content) - at]
    write(folder, resealed(good, {name: bytes(content)}))
    use(folder / "p")


def test_the_good_one_is_good(good, folder):
    write(folder, good)
    assert verify(str(folder / "p"), deep=True, workers=0, log_interval=10**9).problems == []
    for name in NAMES:
        train(folder / "p", name)
