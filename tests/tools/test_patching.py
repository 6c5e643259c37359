"""The import line: where it goes, that it is recognised, and that it comes out again byte for byte."""

import errno
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from megatron_proxy import cli
from megatron_proxy.tools import patching
from megatron_proxy.tools.patching import LINE, Change, PatchError

PATCHES = Path(patching.__file__).parent / "patches"

SCRIPTS = {
    "docstring": (b'# notice\n\n"""Doc."""\n\nimport time\n', 3),
    "docstring and future": (b'"""Doc."""\nfrom __future__ import annotations\n\nimport time\n', 2),
    "long future import": (b"from __future__ import (\n    annotations,\n    division,\n)\nimport time\n", 4),
    "only comments above": (b"#!/usr/bin/env python\n# -*- coding: utf-8 -*-\n\nimport time\n", 3),
    "windows line ends": (b'"""Doc."""\r\nimport time\r\n', 1),
    "no line end": (b'"""Doc."""', 1),
    "string that is no docstring": (b'import time\n"""Doc."""\n', 0),
    "several lines of docstring": (b'"""Doc.\n\nimport megatron_proxy.adaptor\n"""\nimport time\n', 4),
    "decorated function": (b"# notice\n@print\ndef main():\n    pass\n", 1),
    "empty": (b"", 0),
}


@pytest.fixture(params=SCRIPTS, ids=str)
def script(request, tmp_path):
    path = tmp_path / "pretrain.py"
    path.write_bytes(SCRIPTS[request.param][0])
    return path, SCRIPTS[request.param][1]


def test_the_line_goes_after_docstring_and_future_imports(script):
    path, place = script
    assert patching.patch(path).change is Change.PATCHED
    lines = path.read_bytes().splitlines()
    assert lines[place] == LINE.encode()
    compile(path.read_bytes(), path, "exec")


def test_a_second_time_changes_nothing(script):
    path, _ = script
    patching.patch(path)
    once = path.read_bytes()
    assert patching.patch(path).change is Change.ALREADY
    assert path.read_bytes() == once


def test_undo_gives_the_file_back_byte_for_byte(script):
    path, _ = script
    before = path.read_bytes()
    patching.patch(path)
    assert patching.undo(path).change is Change.UNDONE
    # A last line without its end gets one: the line after it needs it.
    assert path.read_bytes().rstrip(b"\n") == before.rstrip(b"\n")
    assert patching.undo(path).change is Change.NOTHING


def test_line_ends_and_mode_are_kept(tmp_path):
    path = tmp_path / "pretrain.py"
    path.write_bytes(SCRIPTS["windows line ends"][0])
    path.chmod(0o755)
    patching.patch(path)
    assert path.read_bytes() == b'"""Doc."""\r\nimport megatron_proxy.adaptor\r\nimport time\r\n'
    assert path.stat().st_mode & 0o777 == 0o755


def test_undo_does_not_tear_a_longer_line_apart(tmp_path):
    path = tmp_path / "pretrain.py"
    path.write_text("import megatron_proxy.adaptor, time\n")
    with pytest.raises(PatchError, match="more than our import"):
        patching.undo(path)


@pytest.mark.parametrize(("content", "message"), [("def :\n", "not a Python script"), (None, "cannot be read")])
def test_what_cannot_be_patched_is_refused(tmp_path, content, message):
    path = tmp_path / "pretrain.py"
    if content is not None:
        path.write_text(content)
    with pytest.raises(PatchError, match=message):
        patching.patch(path)


def test_a_folder_without_scripts_is_refused(tmp_path):
    with pytest.raises(PatchError, match=r"pretrain_gpt\.py"):
        patching.scripts_of(tmp_path)


def test_the_command_says_what_it_did(tmp_path, capsys):
    (tmp_path / "pretrain_gpt.py").write_text('"""Doc."""\n')
    (tmp_path / "pretrain_mamba.py").write_text('"""Doc."""\n')
    for arguments, answer in (
        (["patch"], "patched"),
        (["patch"], "already patched"),
        (["patch", "--undo"], "taken out"),
    ):
        assert cli.main([*arguments, str(tmp_path)]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == 2
        assert all(answer in line and "not a script of a tested release" in line for line in lines)


@pytest.mark.parametrize(
    ("info", "version"),
    [
        ("MAJOR = 0\nMINOR = 16\nPATCH = 1\nPRE_RELEASE = ''\n", "0.16.1"),
        ("MAJOR = 0\nMINOR = 20\nPATCH = 0\nPRE_RELEASE = 'rc1'\n__version__ = '0.20.0rc1+abc'\n", "0.20.0rc1"),
        ("VERSION = (0, 16)\n", None),
        ("def :\n", None),
        (None, None),
    ],
)
def test_the_version_beside_a_script(tmp_path, info, version):
    core = tmp_path / "megatron" / "core"
    core.mkdir(parents=True)
    if info is not None:
        (core / "package_info.py").write_text(info)
    assert patching.version_beside(tmp_path / "pretrain_gpt.py") == version


@pytest.mark.parametrize(("minor", "refused"), [(16, True), (19, False), (21, True)])
def test_the_command_says_if_runs_will_be_refused(tmp_path, capsys, minor, refused):
    core = tmp_path / "megatron" / "core"
    core.mkdir(parents=True)
    (core / "package_info.py").write_text(f"MAJOR = 0\nMINOR = {minor}\nPATCH = 3\nPRE_RELEASE = ''\n")
    (tmp_path / "pretrain_gpt.py").write_text('"""Doc."""\n')
    for target in (tmp_path, tmp_path / "pretrain_gpt.py"):
        assert cli.main(["patch", str(target)]) == 0
        line = (
            f"{tmp_path}: a run with --proxy-compression will be refused: Megatron-Core 0.{minor}.3 is not supported; "
            "supported: 0.18 and 0.19 from wheels or a checkout, 0.17 and 0.20 from a checkout\n"
        )
        assert capsys.readouterr().out.endswith(line) is refused
    assert cli.main(["patch", "--undo", str(tmp_path)]) == 0
    assert "refused" not in capsys.readouterr().out


def test_the_command_fails_without_a_traceback(tmp_path, capsys):
    assert cli.main(["patch", str(tmp_path / "nothing.py")]) == 1
    assert "cannot be read" in capsys.readouterr().err


def test_a_script_that_cannot_be_written(tmp_path, capsys, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    script = tmp_path / "train.py"
    script.write_text("import time\n")
    monkeypatch.setattr(patching, "replace_file", full)
    assert cli.main(["patch", str(script)]) == 1
    assert capsys.readouterr().err == (
        f"megatron-proxy: error: {script}: cannot be written (No space left on device)\n"
    )
    assert script.read_text() == "import time\n"


def test_patch_files_hold_nothing_but_the_line():
    files = sorted(PATCHES.glob("*.patch"))
    assert [file.stem for file in files] == sorted(set(patching.TESTED.values()))
    for file in files:
        for line in file.read_text().splitlines():
            assert line.startswith(("--- a/", "+++ b/", "@@ -")) or line == f"+{LINE}"


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
@pytest.mark.parametrize("file", sorted(PATCHES.glob("*.patch")), ids=lambda file: file.stem)
def test_patch_files_do_what_the_command_does(file, checkouts, tmp_path):
    checkout = checkouts.get(file.stem)
    if checkout is None:
        pytest.skip(f"MEGATRON_LM names no checkout of {file.stem}")
    scripts = [shutil.copy(script, tmp_path) for script in patching.scripts_of(checkout)]
    subprocess.run(["git", "apply", "--unidiff-zero", os.fspath(file)], cwd=tmp_path, check=True)
    for name in scripts:
        by_git = Path(name).read_bytes()
        assert patching.undo(Path(name)) == (Path(name), Change.UNDONE, file.stem)
        assert patching.patch(Path(name)) == (Path(name), Change.PATCHED, file.stem)
        assert Path(name).read_bytes() == by_git
