"""Views read by numpy: what Megatron's own builder writes, and everything that is not that."""

import struct
from pathlib import Path

import numpy as np
import pytest

from megatron_proxy.data.dataset.layout import Layout
from megatron_proxy.data.dataset.manifest import CompressedView, Manifest, StoredFile, View
from megatron_proxy.data.dataset.opened import PreparedDataset
from megatron_proxy.data.dataset.reader import UnmappedView, ViewReader
from megatron_proxy.errors import DatasetError

DOCUMENTS = [[1, 2, 3], [], [65_535], [7, 8]]


def index_bytes(lengths, itemsize, code, *, magic=b"MMIDIDX\x00\x00", version=1, indices=None):
    """An index written out by hand, independent of both writers and readers under test."""
    pointers = np.cumsum([0, *lengths])[:-1] * itemsize
    indices = range(len(lengths) + 1) if indices is None else indices
    return (
        magic
        + struct.pack("<QBQQ", version, code, len(lengths), len(indices))
        + np.array(lengths, dtype="<i4").tobytes()
        + np.array(pointers, dtype="<i8").tobytes()
        + np.array(indices, dtype="<i8").tobytes()
    )


def write(path, documents=DOCUMENTS, dtype="uint16", code=8, **changes):
    flat = np.array([unit for document in documents for unit in document], dtype=dtype)
    Path(f"{path}.bin").write_bytes(flat.tobytes())
    Path(f"{path}.idx").write_bytes(
        index_bytes([len(document) for document in documents], flat.itemsize, code, **changes)
    )
    stored = [
        StoredFile(f"{Path(path).name}.{ending}", Path(f"{path}.{ending}").stat().st_size, "0" * 64)
        for ending in ("bin", "idx")
    ]
    return View(*stored, dtype, len(flat), sum(unit < 256 for unit in flat))


@pytest.fixture
def path(tmp_path):
    write(tmp_path / "a")
    return tmp_path / "a"


def test_an_unmapped_view_reads_the_same(path):
    mapped, view = ViewReader(path), UnmappedView(path)
    assert (len(view), view.units, view.dtype) == (4, 6, np.uint16)
    for stretch in ((0,), (1,), (3,), (0, 1), (0, 1, 1), (0, 3)):
        assert view.get(*stretch).tolist() == mapped.get(*stretch).tolist()
    with pytest.raises(IndexError):
        view.get(0, 1, 3)


def mapped_files():
    return {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines()}


def test_an_unmapped_view_maps_its_index_only(path):
    view = UnmappedView(path)
    view.get(0)
    assert f"{path}.idx" in mapped_files()
    assert f"{path}.bin" not in mapped_files()


def test_a_file_that_cannot_be_read_is_an_error_where_a_map_would_kill(path, monkeypatch):
    view = UnmappedView(path)
    Path(f"{path}.bin").write_bytes(b"1234")
    with pytest.raises(DatasetError, match=r"a\.bin: the file ends early"):
        view.get(0)

    def fail(*args):
        raise OSError(116, "Stale file handle")

    monkeypatch.setattr("os.pread", fail)
    with pytest.raises(DatasetError, match=r"a\.bin: cannot be read \(Stale file handle\)"):
        view.get(0)


@pytest.mark.parametrize("kind", [ViewReader, UnmappedView])
def test_every_kind_of_view_checks_its_file(path, kind):
    Path(f"{path}.bin").write_bytes(b"1234")
    with pytest.raises(DatasetError, match=r"a\.bin: the file has 4 bytes, its index says 12"):
        kind(path)
    Path(f"{path}.bin").unlink()
    with pytest.raises(DatasetError, match=r"a\.bin: cannot be read"):
        kind(path)


def test_reads_sequences_and_stretches_of_them(path):
    view = ViewReader(path)
    assert (len(view), view.units, view.dtype) == (4, 6, np.uint16)
    assert view.sequence_lengths.tolist() == [3, 0, 1, 2]
    assert view.sequence_pointers.tolist() == [0, 6, 6, 8]
    assert [view.get(index).tolist() for index in range(4)] == DOCUMENTS
    assert view.get(0, 1).tolist() == [2, 3]
    assert view.get(0, 1, 1).tolist() == [2]
    assert view.get(0, 3).tolist() == []
    assert view.flat[0].tolist() == [1, 2, 3, 65_535, 7, 8]
    assert not view.get(0).flags.writeable
    view.check_index()


@pytest.mark.parametrize(("offset", "length"), [(-1, None), (4, None), (0, 4), (2, 2), (0, -1)])
def test_a_stretch_outside_the_sequence_is_an_index_error(path, offset, length):
    with pytest.raises(IndexError, match="of sequence 0, which has 3"):
        ViewReader(path).get(0, offset, length)


def test_a_view_of_empty_documents_has_an_empty_bin(tmp_path):
    write(tmp_path / "empty", [[], []])
    view = ViewReader(tmp_path / "empty")
    assert (len(view), view.units, view.get(1).tolist()) == (2, 0, [])
    write(tmp_path / "none", [])
    assert len(ViewReader(tmp_path / "none")) == 0


def test_reads_what_megatrons_builder_writes(tmp_path):
    indexed_dataset = pytest.importorskip("megatron.core.datasets.indexed_dataset")
    for dtype in (np.uint8, np.uint16, np.int32):
        path = tmp_path / dtype.__name__
        builder = indexed_dataset.IndexedDatasetBuilder(f"{path}.bin", dtype=dtype)
        for document in DOCUMENTS:
            document = [unit % 256 for unit in document]
            builder.add_document(document, [len(document)])
        builder.finalize(f"{path}.idx")
        view = ViewReader(path)
        assert view.dtype == dtype
        assert [view.get(index).tolist() for index in range(4)] == [[1, 2, 3], [], [255], [7, 8]]
        view.check_index()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"magic": b"MMIDIDX\x00\x01"}, "a.idx: this is not the index of an IndexedDataset"),
        ({"version": 2}, "index version 2 with dtype code 8 is unknown"),
        ({"code": 9}, "index version 1 with dtype code 9 is unknown"),
        ({"code": 1}, r"a.bin: the file has 12 bytes, its index says"),
    ],
)
def test_foreign_files_are_refused(tmp_path, changes, message):
    write(tmp_path / "a", **changes)
    with pytest.raises(DatasetError, match=message):
        ViewReader(tmp_path / "a")


@pytest.mark.parametrize("ending", ["bin", "idx"])
@pytest.mark.parametrize("size", [0, 1, 33, 10_000])
def test_truncated_and_overlong_files_are_refused(path, ending, size):
    file = Path(f"{path}.{ending}")
    file.write_bytes(file.read_bytes().ljust(10_000, b"\0")[:size])
    with pytest.raises(DatasetError, match=f"a.{ending}: "):
        ViewReader(path)


@pytest.mark.parametrize("ending", ["bin", "idx"])
def test_a_missing_file_is_named(path, ending):
    Path(f"{path}.{ending}").unlink()
    with pytest.raises(DatasetError, match=rf"a.{ending}: cannot be read \(No such file"):
        ViewReader(path)


@pytest.mark.long
def test_every_bit_flip_of_an_index_is_found_or_harmless_until_checked(path):
    file = Path(f"{path}.idx")
    good = file.read_bytes()
    for bit in range(8 * len(good)):
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        file.write_bytes(bad)
        with pytest.raises(DatasetError, match=r"a\.(idx|bin): "):
            ViewReader(path).check_index()


def test_a_damaged_pointer_is_never_followed_out_of_the_file(tmp_path):
    write(tmp_path / "a")
    file = tmp_path / "a.idx"
    content = bytearray(file.read_bytes())
    content[34 + 16 + 5] = 1  # The first pointer's sixth byte.
    file.write_bytes(content)
    with pytest.raises(DatasetError, match=r"sequence 0 lies outside the \.bin file"):
        ViewReader(tmp_path / "a").get(0)


def dataset(folder):
    raw = write(Layout(folder / "p").raw, [[1, 2], [3]], "uint8", 1)
    codes = write(Layout(folder / "p").codes("toy"), [[300], [7]])
    spans = write(Layout(folder / "p").spans("toy"), [[2, 1], [1, 1]])
    (folder / "p_toy_table").write_bytes(b"abc")
    entry = CompressedView({}, "f", 512, False, True, codes, spans, {"table": StoredFile("p_toy_table", 3, "0")})
    return Manifest(2, raw, {"toy": entry})


def test_views_fit_their_manifest(tmp_path):
    PreparedDataset(Layout(tmp_path / "p"), dataset(tmp_path)).check("toy")


def test_an_unknown_view_names_the_command(tmp_path):
    with pytest.raises(DatasetError, match=r"has no zstd view; it has: toy(.|\n)*prepare .*--compressor zstd"):
        PreparedDataset(Layout(tmp_path / "p"), dataset(tmp_path)).check("zstd")


@pytest.mark.parametrize(
    "file", ["p_raw_document.bin", "p_toy_document.idx", "p_toy_document.bin", "p_toy_spans.bin", "p_toy_table"]
)
def test_a_file_of_another_size_is_not_accepted(tmp_path, file):
    manifest = dataset(tmp_path)
    with (tmp_path / file).open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(DatasetError, match=rf"{file}: the file has .* bytes, the manifest says"):
        PreparedDataset(Layout(tmp_path / "p"), manifest).check("toy")
    (tmp_path / file).unlink()
    with pytest.raises(DatasetError, match=f"{file}: cannot be read"):
        PreparedDataset(Layout(tmp_path / "p"), manifest).check("toy")


def test_a_swapped_view_of_the_same_size_is_not_accepted(tmp_path):
    manifest = dataset(tmp_path)
    write(Layout(tmp_path / "p").codes("toy"), [[300], [7]], "int16", 3)
    with pytest.raises(DatasetError, match=r"not the view that the manifest describes: .*'int16'"):
        PreparedDataset(Layout(tmp_path / "p"), manifest).check("toy")


def test_sequences_are_read_without_mapping(path):
    view = ViewReader(path)
    found = [np.frombuffer(content, dtype=np.uint16).tolist() for content in view.read_each(0, 4)]
    assert found == DOCUMENTS
    assert [len(content) for content in view.read_each(2, 3)] == [2]
    assert list(view.read_each(2, 2)) == []
    Path(f"{path}.bin").write_bytes(b"short")
    with pytest.raises(DatasetError, match=r"a\.bin: the file ends early"):
        list(view.read_each(0, 4))
    Path(f"{path}.bin").unlink()
    with pytest.raises(DatasetError, match=r"a\.bin: cannot be read"):
        list(view.read_each(0, 4))
