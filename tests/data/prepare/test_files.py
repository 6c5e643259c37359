"""The files underneath: locks, pending views, views, failures to write."""

import errno
import os
import resource
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from preparing import files_of, leftovers

from megatron_proxy.data.dataset.layout import Layout
from megatron_proxy.data.dataset.manifest import StoredFile, View, sha256_of
from megatron_proxy.data.dataset.reader import ViewReader
from megatron_proxy.data.dataset.writer import ViewWriter
from megatron_proxy.data.prepare.lock import locked
from megatron_proxy.data.prepare.parts import concatenate
from megatron_proxy.data.prepare.staging import PendingView
from megatron_proxy.errors import DatasetError

DTYPES = {"uint8": np.uint8, "uint16": np.uint16, "int32": np.int32}


@pytest.fixture(scope="module")
def megatron():
    """Megatron's own module."""
    return pytest.importorskip("megatron.core.datasets.indexed_dataset")


def write(writer, dtype, blocks):
    for block in blocks:
        units = np.array([unit for sequence in block for unit in sequence], dtype=dtype).tobytes()
        writer.add(units, np.array([len(sequence) for sequence in block], dtype=np.int32))
    writer.finish()


sequences = st.lists(st.lists(st.integers(0, 255), max_size=5), max_size=8)


@pytest.mark.long
@given(st.lists(sequences, max_size=4), st.sampled_from(list(DTYPES)))
def test_a_view_is_what_megatrons_builder_writes(tmp_path_factory, megatron, blocks, name):
    folder = tmp_path_factory.mktemp("writers")
    dtype = np.dtype(DTYPES[name])
    builder = megatron.IndexedDatasetBuilder(str(folder / "stock.bin"), dtype=DTYPES[name])
    for block in blocks:
        for sequence in block:
            builder.add_document(sequence, [len(sequence)])
    builder.finalize(str(folder / "stock.idx"))
    write(ViewWriter(str(folder / "ours"), dtype), dtype, blocks)
    for ending in ("bin", "idx"):
        assert (folder / f"ours.{ending}").read_bytes() == (folder / f"stock.{ending}").read_bytes()


def test_megatron_reads_what_is_written(tmp_path, megatron, monkeypatch):
    monkeypatch.setenv("RANK", "0")
    write(ViewWriter(str(tmp_path / "v"), np.dtype(np.uint16)), np.uint16, [[[1, 2], []], [[65_535]]])
    dataset = megatron.IndexedDataset(str(tmp_path / "v"))
    assert [dataset[index].tolist() for index in range(3)] == [[1, 2], [], [65_535]]
    assert dataset.document_indices.tolist() == [0, 1, 2, 3]
    ViewReader(tmp_path / "v").check_index()


def test_long_indices_are_written_in_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr("megatron_proxy.data.dataset.writer._BLOCK", 3)
    monkeypatch.setattr("megatron_proxy.data.prepare.parts._BLOCK_LENGTHS", 2)
    monkeypatch.setattr("megatron_proxy.data.prepare.parts._BLOCK_BYTES", 8)
    blocks = [[[number] * (number % 3) for number in range(11)], [[7, 7]]]
    write(ViewWriter(str(tmp_path / "v"), np.dtype(np.int32)), np.int32, blocks)
    ViewReader(tmp_path / "v").check_index()
    stored = [StoredFile(f"v.{end}", 0, sha256_of(tmp_path / f"v.{end}")) for end in ("bin", "idx")]
    pending = PendingView(str(tmp_path / "twice"), np.dtype(np.int32))
    concatenate([str(tmp_path / "v")] * 2, [View(*stored, "int32", 0, 0)] * 2, pending)
    view = pending.finish()
    pending.publish()
    write(ViewWriter(str(tmp_path / "w"), np.dtype(np.int32)), np.int32, blocks * 2)
    for ending in ("bin", "idx"):
        assert (tmp_path / f"twice.{ending}").read_bytes() == (tmp_path / f"w.{ending}").read_bytes()
    assert (view.units, view.below_256) == (24, 24)
    assert view.bin.sha256 == sha256_of(tmp_path / "w.bin")
    assert view.idx.sha256 == sha256_of(tmp_path / "w.idx")


def test_a_pending_view_is_hidden_until_published(tmp_path):
    pending = PendingView(str(tmp_path / "p_raw_document"), np.dtype(np.uint8))
    pending.add(b"abc", np.array([3], dtype=np.int32))
    view = pending.finish()
    assert files_of(tmp_path) == {}
    assert leftovers(tmp_path) == [".p_raw_document.partial.bin", ".p_raw_document.partial.idx"]
    pending.publish()
    pending.close()
    assert (view.units, view.bin.name, view.bin.size) == (3, "p_raw_document.bin", 3)
    assert sorted(files_of(tmp_path)) == ["_raw_document.bin", "_raw_document.idx"]
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("size", [1, 100_000])
def test_a_full_disk_is_an_error_that_leaves_nothing(tmp_path, size):
    """/dev/full takes nothing; small writes fail only when the buffer is written out."""
    for ending in ("bin", "idx"):
        os.symlink("/dev/full", tmp_path / f".v.partial.{ending}")
    pending = PendingView(str(tmp_path / "v"), np.dtype(np.uint8))
    with pytest.raises(DatasetError, match=r"v: cannot be written \(No space left on device\)(.|\n)*make room"):
        fill(pending, size)
    pending.close()
    assert list(tmp_path.iterdir()) == []


def test_a_prefix_whose_names_are_too_long_is_told(tmp_path, corpus, run):
    """What a run that was cut off may have left is looked for under longer names than the view's own."""
    with pytest.raises(DatasetError, match=r"cannot be written \(File name too long\)"):
        run(corpus, prefix="n" * 230)
    assert [path.name for path in tmp_path.iterdir()] == ["corpus.jsonl"]
    # _toy_document fits, _sentencepiece_document does not.
    run(corpus, prefix="n" * 225)
    assert (tmp_path / f"{'n' * 225}_manifest.json").exists()


def test_a_limit_on_open_files_is_told_and_leaves_nothing(tmp_path):
    first = os.open("/dev/null", os.O_RDONLY)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        # One file can be opened, the second cannot.
        resource.setrlimit(resource.RLIMIT_NOFILE, (first + 1, hard))
        os.close(first)
        with pytest.raises(DatasetError, match=r"v: cannot be written \(Too many open files\)"):
            PendingView(str(tmp_path / "v"), np.dtype(np.uint8))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_the_way_of_a_pending_view_is_told(tmp_path, corpus, run):
    (tmp_path / ".p_raw_document.partial.bin").mkdir()
    with pytest.raises(DatasetError, match=r"p_raw_document: cannot be written \(Is a directory\)"):
        run(corpus)


def fill(pending, size):
    for _ in range(3):
        pending.add(bytes(size), np.array([size], dtype=np.int32))
    pending.finish()


def test_a_lock_is_exclusive_and_leaves_nothing(tmp_path):
    prefix = str(tmp_path / "new" / "p")
    with locked(prefix) as lock:
        assert not lock.cut_off
        with pytest.raises(DatasetError, match=rf"another run is preparing '{prefix}' \(process {os.getpid()} on "):
            enter(prefix)
    assert list((tmp_path / "new").iterdir()) == []
    enter(prefix)


def enter(prefix):
    with locked(prefix) as lock:
        return lock.cut_off


@pytest.mark.long
def test_the_lock_of_a_killed_process_is_taken_over(tmp_path):
    prefix = str(tmp_path / "p")
    script = (
        "import os, signal\n"
        "from megatron_proxy.data.prepare.lock import locked\n"
        f"with locked({prefix!r}):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -9
    assert Layout(prefix).lock.exists()
    assert enter(prefix) is True
    assert enter(prefix) is False


def test_an_error_while_publishing_leaves_the_lock_file_as_a_mark(tmp_path):
    prefix = str(tmp_path / "p")
    with pytest.raises(KeyboardInterrupt):
        interrupted(prefix)
    assert enter(prefix) is True


def interrupted(prefix):
    with locked(prefix) as lock:
        lock.publishing = True
        raise KeyboardInterrupt


def test_a_lock_that_is_removed_while_it_is_awaited_is_made_anew(tmp_path, monkeypatch):
    prefix = str(tmp_path / "p")
    path = Layout(prefix).lock
    removed = []

    def remove_once(descriptor, operation):
        if not removed:
            removed.append(path.unlink())

    monkeypatch.setattr("fcntl.flock", remove_once)
    with locked(prefix):
        assert path.exists()
    assert removed


def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch):
    def refuse(descriptor, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(DatasetError, match=r"cannot be written \(No locks available"):
        enter(str(tmp_path / "p"))
