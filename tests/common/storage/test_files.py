"""What commands write: not replaced unasked, whole or not there."""

import os
import resource
from pathlib import Path

import pytest

from megatron_proxy.common.storage.files import (
    appearing,
    replace_file,
    replacing,
    require_file,
    require_free,
    write_output,
)
from megatron_proxy.errors import ConfigurationError


def test_what_is_there_is_replaced_only_if_told(tmp_path):
    require_free(tmp_path / "new", overwrite=False)
    require_free(tmp_path, overwrite=True)
    with pytest.raises(ConfigurationError, match=r"--plot: '.*' exists already(.|\n)*--overwrite"):
        require_free(tmp_path, overwrite=False, flag="--plot")


def test_a_file_can_be_written_before_there_is_anything_to_write(tmp_path):
    require_file(tmp_path / "deep" / "new" / "figures.json", overwrite=False)
    assert list((tmp_path / "deep" / "new").iterdir()) == []
    with pytest.raises(ConfigurationError, match=r"--plot: '.*deep' is a folder"):
        require_file(tmp_path / "deep", overwrite=True, flag="--plot")
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file" / "x", "/proc/self/x"):
        with pytest.raises(ConfigurationError, match=r"--output: '.*x' cannot be written"):
            require_file(place, overwrite=False)


def test_what_a_flag_names_may_be_a_link_or_a_pipe(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "target")
    write_output(tmp_path / "link", b"content")
    assert ((tmp_path / "link").is_symlink(), (tmp_path / "target").read_bytes()) == (True, b"content")
    # Its folder, where no file can be made, does not matter.
    reading, writing = os.pipe()
    require_file(f"/proc/self/fd/{writing}", overwrite=True)
    write_output(Path(f"/proc/self/fd/{writing}"), b"content")
    os.close(writing)
    with open(reading, "rb") as stream:
        assert stream.read() == b"content"


def test_a_full_disk_tells_the_file(tmp_path):
    """RLIMIT_FSIZE: no file may become longer."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4, limits[1]))
    try:
        with pytest.raises(OSError, match=f"File too large: '{tmp_path / 'figures.json'}'"):
            replace_file(tmp_path / "figures.json", b"content")
        with pytest.raises(ConfigurationError, match=r"^--plot: '.*json' cannot be written \(File too large\)$"):
            write_output(tmp_path / "figures.json", b"content", "--plot")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_told():
    with (
        pytest.raises(ConfigurationError, match="--output: '/proc/self/x' cannot be written"),
        replacing(Path("/proc/self/x")),
    ):
        pass


def test_a_folder_takes_the_place_of_another(tmp_path):
    folder = tmp_path / "deep" / "made"
    for content in ("old", "new"):
        with replacing(folder) as beside:
            (beside / content).write_text(content)
            assert (folder / "old").exists() == (content == "new")
    assert [path.name for path in folder.iterdir()] == ["new"]
    assert folder.stat().st_mode & 0o777 == 0o755


def test_a_folder_that_cannot_be_filled_leaves_the_old_one(tmp_path):
    folder = tmp_path / "made"
    with replacing(folder) as beside:
        (beside / "old").write_text("old")
    with pytest.raises(KeyError):
        fail_halfway(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["made"]
    assert [path.name for path in folder.iterdir()] == ["old"]


def fail_halfway(folder):
    with replacing(folder) as beside:
        (beside / "new").write_text("new")
        raise KeyError


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "file"
    replace_file(path, b"old")
    assert path.stat().st_mode & 0o777 == 0o644

    def fail(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        replace_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert [found.name for found in tmp_path.iterdir()] == ["file"]


def test_a_file_may_wait_under_a_name_of_its_own(tmp_path):
    beside = tmp_path / ".file.partial"
    beside.write_bytes(b"left by a run that was cut off")
    with appearing(tmp_path / "file", beside=beside) as place:
        place.write_bytes(b"new")
        assert [found.name for found in tmp_path.iterdir()] == [".file.partial"]
    assert {found.name: found.read_bytes() for found in tmp_path.iterdir()} == {"file": b"new"}
