"""What every compressor promises, for every registered one (see ``megatron_proxy/compressors/base.py``).

Golden codes are in ``tests/fixtures/<compressor>/golden.json``, with the compressor's files beside it, and those of
forms with other codes (``FORMS`` in conftest.py) in folders of their own; they are made, once, by
``python tests/compressors/golden.py NAME``.
"""

import ast
import base64
import contextlib
import json
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import golden_compressors
import numpy as np
import pytest
from encoded_spans import spans_of
from hypothesis import given, settings
from hypothesis import strategies as st

import megatron_proxy.compressors as room
from megatron_proxy import compressors
from megatron_proxy.compressors import Compressor
from megatron_proxy.errors import CompressorError

FIXTURES = Path(__file__).parents[1] / "fixtures"
TEXT = (FIXTURES / "text.txt").read_bytes()
# What stands for another tool's compressor has nothing to keep this contract with: tests/data/reference/test_codes.py.
NAMES = sorted(set(compressors._BUILT_IN) - {"imported"})
GOLDEN = sorted(path.parent.name for path in FIXTURES.glob("*/golden.json"))

SAMPLES = {
    "empty": b"",
    "one byte": b"a",
    "NUL": b"\0",
    "NULs": b"\0" * 700,
    "trailing NUL": b"text\0",
    "CRLF": b"one\r\ntwo\r\n\r\nthree",
    "emoji": "🦊🐶\u200d🦊".encode(),
    "surrogates": "a\ud800b".encode("utf-8", "surrogatepass"),
    "not UTF-8": b"\xff\xfe\x80abc\xc3",
    "all bytes": bytes(range(256)) * 3,
    "U+2581": " ▁ ▁▁a▁".encode(),
    "text": TEXT,
    "long line": b"x = 1; " * 12_000,
    "many documents' worth": TEXT * 40,
}

fragments = st.sampled_from([*TEXT.split(b" ")[:60], b" ", b"\n", b"    ", b"\r\n", b"\0", b"\xff", "▁🦊".encode()])
documents = st.binary(max_size=120) | st.lists(fragments, max_size=40).map(b"".join)


def same(compressor: Compressor, document: bytes) -> bool:
    return not compressor.lossless or compressor.decode(compressor.encode(document)) == document


def test_every_class_is_registered():
    registered = {tuple(value.split(":")) for value in compressors._BUILT_IN.values()}
    defined = set()
    folder = Path(room.__file__).parent
    for path in folder.rglob("*.py"):
        module = ".".join(path.relative_to(folder).with_suffix("").parts)
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and any(
                isinstance(part, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "name" for t in part.targets)
                for part in node.body
            ):
                defined.add((module, node.name))
    assert defined == registered


@pytest.mark.parametrize("name", NAMES)
def test_registered_under_its_own_name(name):
    kind = compressors.get(name)
    assert kind.name == name
    assert len({option.name for option in kind.options}) == len(kind.options)
    for option in kind.options:
        assert option.default is None or isinstance(option.default, option.type)
        assert option.choices is None or option.default is None or option.default in option.choices


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES.keys())
@pytest.mark.parametrize("name", NAMES)
def test_samples_come_back(small, name, sample):
    compressor = small(name)
    codes = compressor.encode(sample)
    assert codes.ndim == 1
    assert codes.dtype == compressor.vocabulary.code_dtype
    assert codes.max(initial=0) < compressor.vocabulary.num_codes
    assert (len(codes) == 0) == (len(sample) == 0)
    assert same(compressor, sample)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=40, deadline=None)
@given(document=documents)
def test_everything_comes_back(small, name, document):
    assert same(small(name), document)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25, deadline=None)
@given(document=documents.map(lambda document: document * 4))
def test_spans(small, name, document):
    compressor = small(name)
    encoded = compressor.encode_spans(document)
    assert encoded.codes.tolist() == compressor.encode(document).tolist()
    spans = list(spans_of(encoded, document))
    assert all(part for part, _ in spans)
    if not compressor.spans:
        assert len(spans) == bool(document)
        assert compressor.no_spans_because
        return
    for part, codes in spans:
        assert max(len(part), len(codes)) <= 65_535
        assert not compressor.lossless or compressor.decode(codes) == part


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("zstd", {"form": "bytes", "segment": "fixed", "segment-bytes": 65_534}),
        ("zstd", {"segment-bytes": 65_535}),
        ("trie", {"segment-bytes": 65_535}),
        ("hf", {"symbols": "bytes", "split": "lines"}),
        ("hf", {"symbols": "bytes", "split": "tokens"}),
        ("tiktoken", {"symbols": "gray", "split": "lines"}),
        ("sentencepiece", {"symbols": "bytes"}),
    ],
)
def test_the_longest_spans_can_be_stored_though_nothing_in_them_is_compressed(build, name, changes):
    """Two bytes for a symbol of one letter, a marker before what cannot be compressed: spans count codes in 16 bits."""
    compressor = build(name, **changes)
    letters = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", dtype=np.uint8)
    noise = np.random.default_rng(1).integers(0, 256, 66_000, dtype=np.uint8)
    document = (noise if name == "zstd" else letters[noise % 64]).tobytes()
    encoded = compressor.encode_spans(document)
    codes = np.diff(encoded.code_ends, prepend=0)
    assert codes.max() <= 65_535
    assert compressor.decode(encoded.codes) == document
    assert compressor.decode(encoded.codes[: codes[0]]) == document[: encoded.byte_ends[0]]


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=10, deadline=None)
@given(several=st.lists(documents, max_size=4))
def test_many_documents_at_once_are_encoded_as_each_alone(small, name, several):
    compressor = small(name)
    together = list(compressor.encode_each(iter(several)))
    for document, one in zip(several, together, strict=True):
        alone = compressor.encode_spans(document)
        assert one.codes.dtype == alone.codes.dtype
        for field in ("codes", "byte_ends", "code_ends"):
            assert getattr(one, field).tolist() == getattr(alone, field).tolist()


@pytest.mark.parametrize("name", NAMES)
def test_config_and_files_make_it_again(small, name):
    compressor = small(name)
    config = json.loads(json.dumps(compressor.config()))
    assert config == compressor.config()
    files = compressor.files()
    assert all(isinstance(content, bytes) and Path(suffix).name == suffix for suffix, content in files.items())
    for again in (compressors.load(name, config, files), pickle.loads(pickle.dumps(compressor))):
        assert again.fingerprint == compressor.fingerprint
        assert again.vocabulary == compressor.vocabulary
        assert (again.spans, again.lossless) == (compressor.spans, compressor.lossless)
        assert again.encode(TEXT).tolist() == compressor.encode(TEXT).tolist()


@pytest.mark.parametrize("name", NAMES)
def test_the_fingerprint_follows_config_and_files(small, name, tmp_path):
    compressor = small(name)
    assert len(compressor.fingerprint) == 64
    if compressor.config():
        key = next(iter(compressor.config()))

        class Other(type(compressor)):
            def config(self):
                return super().config() | {key: "changed"}

        other = Other.from_config(compressor.config(), compressor.files())
        assert other.fingerprint != compressor.fingerprint


@pytest.mark.parametrize("name", NAMES)
def test_symbol_bytes(small, name):
    compressor = small(name)
    sizes = compressor.symbol_bytes()
    if sizes is None:
        return
    assert sizes.dtype == np.int32
    assert sizes.shape == (compressor.num_symbols,)
    codes = compressor.encode(TEXT).astype(np.int64)
    symbols = codes - 256 if compressor.literals else codes
    total = sizes[symbols[symbols >= 0]].sum() + np.count_nonzero(symbols < 0)
    assert total == len(TEXT) or not compressor.lossless


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_decode_of_anything_answers_or_refuses(small, name, data):
    compressor = small(name)
    limit = compressor.vocabulary.num_codes
    if data.draw(st.booleans()):
        codes = np.array(data.draw(st.lists(st.integers(0, limit - 1), max_size=30)), dtype=np.int64)
    else:
        codes = compressor.encode(TEXT[: data.draw(st.integers(0, 900))]).astype(np.int64)
        for _ in range(data.draw(st.integers(0, 4))):
            place = data.draw(st.integers(0, len(codes)))
            inserted = data.draw(st.lists(st.integers(0, limit - 1), max_size=2))
            codes = np.concatenate([codes[:place], np.array(inserted, dtype=np.int64), codes[place + 1 :]])
    with contextlib.suppress(CompressorError):
        assert isinstance(compressor.decode(codes.astype(compressor.vocabulary.code_dtype)), bytes)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_damaged_configurations_are_refused_or_work(small, name, data):
    compressor = small(name)
    config, files = compressor.config(), compressor.files()
    target = data.draw(st.sampled_from(["config", "file"])) if files and config else "config" if config else "file"
    if target == "config" and config:
        key = data.draw(st.sampled_from(sorted(config)))
        config[key] = data.draw(st.none() | st.integers() | st.text(max_size=5) | st.lists(st.integers(), max_size=2))
    elif files:
        suffix = data.draw(st.sampled_from(sorted(files)))
        place = data.draw(st.integers(0, len(files[suffix])))
        files[suffix] = files[suffix][:place] + data.draw(st.binary(max_size=3)) + files[suffix][place + 1 :]
    with contextlib.suppress(CompressorError):
        compressors.load(name, config, files).encode(TEXT[:300])


class TestGolden:
    def test_every_compressor_and_form_has_some(self, forms):
        assert set(NAMES) | forms == set(GOLDEN)

    @pytest.mark.parametrize("name", GOLDEN)
    def test_codes_are_what_they_were(self, name):
        golden, compressor = golden_compressors.record(name), golden_compressors.golden(name)
        assert compressor.fingerprint == golden["fingerprint"]
        codes = np.frombuffer(base64.b64decode(golden["codes"]), dtype=golden["dtype"])
        assert not compressor.lossless or compressor.decode(codes) == TEXT
        try:
            encoded = compressor.encode(TEXT)
        except CompressorError as error:
            if "other bytes" not in str(error):
                raise
            pytest.skip(f"decoded; not encoded: {error.what}")
        assert encoded.dtype.str == golden["dtype"]
        assert encoded.tolist() == codes.tolist()


CHILD = """
import json, sys
from megatron_proxy import compressors
for line in sys.stdin:
    given = json.loads(line)
    files = {suffix: bytes.fromhex(content) for suffix, content in given["files"].items()}
    compressor = compressors.load(given["name"], given["config"], files)
    print(json.dumps(compressor.encode(bytes.fromhex(given["text"])).tolist()))
"""


@pytest.mark.long
def test_another_process_makes_the_same_codes(small):
    requests = []
    for name in NAMES:
        compressor = small(name)
        files = {suffix: content.hex() for suffix, content in compressor.files().items()}
        request = {"name": name, "config": compressor.config(), "files": files, "text": TEXT.hex()}
        requests.append(json.dumps(request))
    done = subprocess.run(
        [sys.executable, "-c", CHILD], input="\n".join(requests), capture_output=True, text=True, check=True
    )
    for name, line in zip(NAMES, done.stdout.splitlines(), strict=True):
        assert json.loads(line) == small(name).encode(TEXT).tolist(), name


def test_unknown_names_list_the_known():
    with pytest.raises(CompressorError, match=r"did you mean 'zstd'.*bit, .*, zstd"):
        compressors.get("zstdd")


@pytest.mark.parametrize("name", NAMES)
def test_threads_share_a_compressor(small, name):
    compressor = compressors.load(name, small(name).config(), small(name).files())
    texts = [TEXT[start : start + 700] * 5 for start in range(0, 1_200, 60)]
    expected = [small(name).encode(text).tolist() for text in texts]
    with ThreadPoolExecutor(4) as pool:
        assert [codes.tolist() for codes in pool.map(compressor.encode, texts)] == expected
