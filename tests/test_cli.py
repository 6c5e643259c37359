"""The command line as a whole: help without torch, exit codes, never a traceback for what users do."""

import contextlib
import errno
import io
import os
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megatron_proxy import __version__, cli
from megatron_proxy.errors import ConfigurationError


@pytest.mark.parametrize("name", list(cli.COMMANDS))
def test_every_command_has_help(name, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main([name, "--help"])
    assert stopped.value.code == 0
    out = capsys.readouterr().out
    assert out.startswith(f"usage: megatron-proxy {name}")
    assert cli.module_of(name).__doc__.splitlines()[0] in " ".join(out.split())


def loaded_after(*lines):
    """The modules that command lines load, one after the other, of those that are slow to load."""
    script = (
        "import sys, contextlib, io\n"
        "from megatron_proxy import cli\n"
        f"for line in {list(lines)!r}:\n"
        "    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):\n"
        "        cli.main(line.split())\n"
        "print([name for name in ('torch', 'megatron', 'numba', 'numpy') if name in sys.modules])"
    )
    return subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout.strip()


def test_help_loads_nothing_slow():
    assert loaded_after("--help") == "[]"


@pytest.mark.long
def test_help_of_every_command_loads_neither_torch_nor_numba():
    assert loaded_after(*(f"{name} --help" for name in cli.COMMANDS)) == "['numpy']"


@pytest.mark.long
def test_help_is_fast():
    def seconds(*argv):
        begin = time.perf_counter()
        subprocess.run([sys.executable, *argv], check=True, capture_output=True)
        return time.perf_counter() - begin

    # Beside a bare interpreter in the same minute, so that a busy machine does not decide.
    bare = min(seconds("-c", "pass") for _ in range(3))
    assert min(seconds("-m", "megatron_proxy.cli", "--help") for _ in range(3)) < bare + 0.25


def test_help_lists_every_command(capsys):
    with pytest.raises(SystemExit):
        cli.main([])
    out = capsys.readouterr().out
    for name, text in cli.COMMANDS.items():
        assert f"  {name}" in out
        assert text in out


def test_version(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert capsys.readouterr().out == f"megatron-proxy {__version__}\n"


@pytest.mark.parametrize("argv", [["prepar"], ["--nothing"], ["prepare"], ["prepare", "--output-prefix"]])
def test_a_wrong_command_line_is_exit_code_2(argv, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(argv)
    assert stopped.value.code == 2
    assert "usage: megatron-proxy" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (
            ConfigurationError("is wrong", where="--flag", fix="do this"),
            1,
            "error: --flag: is wrong\n  what to do: do this",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device", "out.json"),
            1,
            "error: out.json: cannot be written (No space left on device)\n  what to do: make room on this disk",
        ),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_what_a_command_raises_becomes_an_exit_code(monkeypatch, capsys, error, code, message):
    def fail(args):
        raise error

    monkeypatch.setattr(cli.module_of("verify"), "run", fail)
    assert cli.main(["verify", "p"]) == code
    assert capsys.readouterr().err == f"megatron-proxy: {message}\n"


@pytest.mark.long
def test_a_reader_that_goes_away_is_no_traceback():
    shell = f"{sys.executable} -m megatron_proxy.cli prepare --help | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", shell], check=True, capture_output=True, text=True)
    assert "Traceback" not in done.stderr
    assert done.stdout.strip() in ("0", "141")


@pytest.mark.long
@pytest.mark.parametrize(
    ("prefix", "encoding", "shown"),
    [(b"caf\xe9", "utf-8", b"caf\\udce9"), ("café".encode(), "ascii", b"caf\\xe9")],
)
def test_names_that_the_output_has_no_letters_for_are_printed_all_the_same(tmp_path, prefix, encoding, shown):
    """Names of files are bytes; a terminal may know fewer letters still."""
    corpus = tmp_path / "c.jsonl"
    corpus.write_text('{"text": "a"}\n')
    argv = [sys.executable, "-m", "megatron_proxy", "prepare", "--input", corpus, "--output-prefix", prefix]
    environment = {**os.environ, "PYTHONUTF8": "1", "PYTHONIOENCODING": f"{encoding}:strict"}
    done = subprocess.run([*argv, "--workers", "0"], cwd=tmp_path, env=environment, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == shown + b": 1 documents, 1 bytes in the raw view\n"


@pytest.mark.long
def test_standard_error_may_be_closed(tmp_path):
    """As it is in some daemons."""
    (tmp_path / "c.jsonl").write_text('{"text": "a"}\n')
    shell = f"{sys.executable} -m megatron_proxy prepare --input c.jsonl --output-prefix p --workers 0 2>&-"
    done = subprocess.run(["bash", "-c", shell], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "p: 1 documents, 1 bytes in the raw view\n")


FLAGS = {
    "prepare": ["--input", "--output-prefix", "--compressor", "--workers", "--shard", "--max-documents", "--json-keys",
                "--partitions", "--compressor-from", "--skip-bad-lines", "--overwrite", "--gzip-level"],
    "train-compressor": ["--input", "--output", "--json-keys", "--json-key", "--gzip-level", "gzip", "zstd"],
    "verify": ["--deep", "--workers", "--log-interval"],
    "merge": ["--overwrite", "--remove-shards"],
}  # fmt: skip
words = st.sampled_from(
    ["c.jsonl", "*.jsonl", "0", "-1", "1", "gzip", "text", "0/2", "p", "q_manifest.json"]
) | st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), max_size=6)


@pytest.mark.long
@given(st.data())
@settings(max_examples=150)
def test_any_command_line_ends_with_an_exit_code(tmp_path_factory, data):
    """Whatever is typed: an exit code and a message, never a traceback."""
    name = data.draw(st.sampled_from(list(FLAGS)))
    rest = data.draw(st.lists(st.sampled_from(FLAGS[name]) | words, max_size=8))
    folder = tmp_path_factory.mktemp("command")
    (folder / "c.jsonl").write_text('{"text": "a"}\n')
    with contextlib.chdir(folder), contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        try:
            code = cli.main([name, *rest])
        except SystemExit as stopped:
            code = stopped.code
    assert code in (0, 1, 2)
