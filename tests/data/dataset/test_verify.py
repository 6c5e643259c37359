"""Verify: all is well with what prepare wrote, and every kind of damage is found and named."""

import dataclasses
import os

import numpy as np
import pytest
from preparing import TEXTS, write_corpus

from megatron_proxy import compressors
from megatron_proxy.data.dataset import manifest, reader
from megatron_proxy.data.dataset.layout import Layout
from megatron_proxy.data.dataset.manifest import StoredFile, sha256_of
from megatron_proxy.data.dataset.verify import verify
from megatron_proxy.data.dataset.writer import ViewWriter
from megatron_proxy.data.prepare import Job, Recipe, prepare
from megatron_proxy.data.sampling import cache
from megatron_proxy.errors import CompressorError, DatasetError


@pytest.fixture
def prefix(tmp_path, monkeypatch):
    """Two views of a corpus in which every sixteenth document has spans."""
    known = compressors._registry() | {
        "toy": "toy_compressor:ToyCompressor",
        "whole": "toy_compressor:WholeCompressor",
    }
    monkeypatch.setattr(compressors, "_registry", lambda: known)
    prepared = str(tmp_path / "p")
    recipes = [Recipe("toy"), Recipe("whole")]
    corpus = write_corpus(tmp_path / "c.jsonl", TEXTS * 6)
    prepare(Job(prepared, [corpus], recipes, workers=0, report=lambda line: None))
    return prepared


def problems(prefix, *, deep=True, workers=0):
    return verify(prefix, deep=deep, workers=workers, log_interval=10**6).problems


@pytest.mark.parametrize("workers", [0, 2])
def test_what_was_prepared_is_well(prefix, workers):
    found = verify(prefix, deep=True, workers=workers, log_interval=10**6)
    assert found.problems == []
    assert found.files == 10
    assert found.bytes == sum(stored.size for stored in manifest.read(prefix).stored_files())
    assert found.decoded == {"toy": 36, "whole": 36}
    assert found.encoded == {"toy": 3, "whole": 3}
    assert found.notes == []
    assert verify(prefix, log_interval=10**6).decoded == {}


@pytest.mark.parametrize("beside", [True, False])
def test_every_byte_of_cached_plans_is_read(prefix, tmp_path, beside):
    folder = Layout(prefix).plans if beside else tmp_path / "plans"
    for seed in range(3):
        cache.open_or_build(folder, {"seed": seed}, lambda: iter([{"forms": np.arange(99, dtype=np.uint8)}]))
    plans = None if beside else folder
    found = verify(prefix, log_interval=10**6, plans=plans)
    assert (found.plans, found.problems) == (3, [])
    # A bit that flips by itself leaves the time as it was.
    path = cache.path_of(folder, {"seed": 1})
    times, content = path.stat(), path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    (problem,) = verify(prefix, log_interval=10**6, plans=plans).problems
    assert problem.startswith(f"{path}: this cached plan is not usable: the CRC-32 of forms does not fit")


def files(prefix):
    return [stored.name for stored in manifest.read(prefix).stored_files()]


def test_every_damaged_file_is_named(prefix, tmp_path):
    for name in files(prefix):
        path = tmp_path / name
        good = path.read_bytes()
        path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
        assert any(f"{name}: the content is not what the manifest says (SHA-256)" in line for line in problems(prefix))
        path.write_bytes(good[:-1])
        assert any(f"{name}: the file has {len(good) - 1:,} bytes" in line for line in problems(prefix))
        path.unlink()
        assert any(f"{name}: cannot be read (No such file or directory)" in line for line in problems(prefix))
        path.write_bytes(good)
    assert problems(prefix) == []


def test_swapped_views_are_found(prefix, tmp_path):
    for ending in ("bin", "idx"):
        one, other = (tmp_path / f"p_{name}.{ending}" for name in ("toy_document", "raw_document"))
        content = one.read_bytes()
        one.write_bytes(other.read_bytes())
        other.write_bytes(content)
    found = problems(prefix)
    assert sum("SHA-256" in line or "the manifest says" in line for line in found) >= 4


def forge(prefix, view_path, edit, kind):
    """Change a view and make its checksums fit again, as a mistake in a compressor would."""
    view = reader.ViewReader(view_path)
    sequences = [np.array(view.get(index)) for index in range(len(view))]
    edit(sequences)
    writer = ViewWriter(view_path, view.dtype)
    writer.add(
        b"".join(one.astype(view.dtype).tobytes() for one in sequences),
        np.array([len(one) for one in sequences], dtype=np.int32),
    )
    writer.finish()
    stored = [
        StoredFile(
            f"{view_path.rpartition('/')[2]}.{ending}",
            size_of(f"{view_path}.{ending}"),
            sha256_of(f"{view_path}.{ending}"),
        )
        for ending in ("bin", "idx")
    ]
    content = manifest.read(prefix)
    entry = content.compressed["toy"]
    counts = {"units": sum(map(len, sequences)), "below_256": sum(int((one < 256).sum()) for one in sequences)}
    new = dataclasses.replace(getattr(entry, kind), bin=stored[0], idx=stored[1], **counts)
    changed = content.with_compressed("toy", dataclasses.replace(entry, **{kind: new}))
    Layout(prefix).manifest.write_text(changed.to_json())


def size_of(path):
    with open(path, "rb") as file:
        return len(file.read())


def other_code(sequences):
    sequences[0][3] += 1


def undecodable(sequences):
    sequences[2][0] = 0


def too_few(sequences):
    sequences[3] = sequences[3][:-1]


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (other_code, "document 0: decodes to something else than the raw view has (another byte at 3)"),
        (undecodable, "document 2: cannot be decoded (not made by this compressor)"),
    ],
)
@pytest.mark.parametrize("workers", [0, 1])
def test_codes_that_decode_to_something_else_are_found_only_by_decoding(prefix, edit, message, workers):
    path = Layout(prefix).codes("toy")
    forge(prefix, path, edit, "view")
    assert problems(prefix, deep=False) == []
    assert problems(prefix, workers=workers) == [f"{path}.bin: {message}"]


def other_codes(sequences):
    """Of every document, and decoded to the same."""
    for sequence in sequences:
        sequence[sequence < 256] += 256


@pytest.mark.parametrize("workers", [0, 1])
def test_codes_that_only_encoding_again_finds(prefix, workers):
    path = Layout(prefix).codes("toy")
    forge(prefix, path, other_codes, "view")
    assert problems(prefix, deep=False) == []
    what = "is encoded to other codes now than the view has: the compressor that made it gave other codes"
    assert problems(prefix, workers=workers) == [f"{path}.bin: document {number}: {what}" for number in (0, 16, 32)]


def test_spans_that_only_encoding_again_finds(prefix):
    def whole(sequences):
        sequences[0] = np.array([20, 20])

    forge(prefix, Layout(prefix).spans("toy"), whole, "spans")
    path = Layout(prefix).codes("toy")
    assert problems(prefix) == [f"{path}.bin: document 0: is cut into other spans now than the view has"]


def test_documents_that_cannot_be_encoded_again(prefix, monkeypatch):
    def refusing(self, document):
        if document:
            raise CompressorError("this document is too much")
        return np.empty(0, dtype=np.uint16)

    monkeypatch.setattr("toy_compressor.ToyCompressor.encode", refusing)
    path = Layout(prefix).codes("whole")
    assert f"{path}.bin: document 0: cannot be encoded again (this document is too much)" in problems(prefix)


def test_of_many_wrong_documents_a_few_are_shown(prefix):
    def edit(sequences):
        for sequence in sequences:
            sequence[:1] += 1

    path = Layout(prefix).codes("toy")
    forge(prefix, path, edit, "view")
    found = problems(prefix)
    assert len(found) == 11
    assert found[-1] == f"{path}.bin: 30 documents are wrong, 10 of them are shown"


def shifted_borders(sequences):
    sequences[0] = np.array([11, 10, 9, 10])


def too_long(sequences):
    sequences[8] = np.array([13, 13, 9, 8])


def odd(sequences):
    sequences[4] = np.array([2, 2, 0])


def missing(sequences):
    sequences[5] = np.array([], dtype=np.uint16)


@pytest.mark.parametrize(("edit", "document"), [(too_long, 8), (odd, 4), (missing, 5)])
def test_spans_that_do_not_add_up_are_found(prefix, edit, document):
    path = Layout(prefix).spans("toy")
    forge(prefix, path, edit, "spans")
    expected = [f"{path}.bin: document {document}: its spans do not add up to its bytes and codes"]
    assert problems(prefix, deep=False) == expected


def test_spans_that_do_not_stand_for_their_bytes_are_found_by_decoding(prefix):
    forge(prefix, Layout(prefix).spans("toy"), shifted_borders, "spans")
    assert problems(prefix, deep=False) == []
    (found,) = problems(prefix)
    assert "document 0: span 0 decodes to something else than the raw view has (10 bytes instead of 11)" in found


def test_a_compressor_that_does_not_fit_its_view_is_found(prefix, tmp_path):
    content = manifest.read(prefix)
    entry = dataclasses.replace(content.compressed["whole"], fingerprint="0" * 64)
    Layout(prefix).manifest.write_text(content.with_compressed("whole", entry).to_json())
    assert "the whole compressor in this manifest has another fingerprint" in problems(prefix)[0]


def test_an_unprepared_prefix_is_an_error(tmp_path):
    with pytest.raises(DatasetError, match=r"is not a prepared dataset(.|\n)*megatron-proxy prepare"):
        verify(str(tmp_path / "p"), log_interval=1)
