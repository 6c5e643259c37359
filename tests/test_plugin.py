"""The worked third-party compressor: installed as a package of its own, found by its entry point, used."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from megatron_proxy.data.dataset import manifest

EXAMPLE = Path(__file__).parents[1] / "examples" / "compressor_plugin"
TEXTS = ["the quick brown fox and the lazy dog\n" * 20, "the dog barks", "", "ünïcode \udcff the"]


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """The environment of a process that has the package on its path."""
    folder = tmp_path_factory.mktemp("plugin")
    # A build leaves files in its source folder.
    shutil.copytree(EXAMPLE, folder / "source")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    command += ["--disable-pip-version-check", "--target", str(folder / "installed"), str(folder / "source")]
    subprocess.run(command, check=True)
    path = os.pathsep.join([str(folder / "installed"), str(EXAMPLE.parents[1])])
    return os.environ | {"PYTHONPATH": path}


def command(environment, *argv):
    return subprocess.run(
        [sys.executable, "-m", "megatron_proxy.cli", *argv],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.long
def test_a_view_is_prepared_and_verified_with_it(environment, tmp_path):
    (tmp_path / "c.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    prefix = str(tmp_path / "data")
    arguments = ["--input", str(tmp_path / "c.jsonl"), "--output-prefix", prefix, "--workers", "1"]
    done = command(environment, "prepare", *arguments, "--compressor", "wordlist", "--wordlist-words", "4")
    assert done.returncode == 0, done.stderr
    entry = manifest.read(prefix).compressed["wordlist"]
    assert (entry.num_symbols, entry.literals) == (4, True)
    assert (tmp_path / "data_wordlist_words.txt").read_bytes() == b"the\nbrown\nquick\nlazy\n"
    done = command(environment, "verify", prefix, "--deep", "--workers", "1")
    assert done.returncode == 0, done.stderr
    assert "4 documents of the wordlist view decoded" in done.stdout


@pytest.mark.long
def test_its_errors_are_told_like_all_others(environment, tmp_path):
    (tmp_path / "c.jsonl").write_text('{"text": "some words"}\n')
    arguments = ["--input", str(tmp_path / "c.jsonl"), "--output-prefix", str(tmp_path / "data"), "--workers", "1"]
    done = command(environment, "prepare", *arguments, "--compressor", "wordlist", "--wordlist-words", "0")
    assert done.returncode == 1
    assert "--wordlist-words: 0 words" in done.stderr


@pytest.mark.long
def test_is_unknown_where_it_is_not_installed(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = command(environment, "prepare", "--output-prefix", str(tmp_path / "data"), "--compressor", "wordlist")
    assert done.returncode == 1
    assert "no compressor is called 'wordlist'" in done.stderr
