"""Nothing of ours reaches out: each command runs, in all its processes, under a hook that refuses and notes it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from preparing import TEXTS, write_corpus

ROOT = Path(__file__).parents[2]
GUARD = ROOT / "tests" / "helpers" / "no_network"


@pytest.fixture
def guarded(tmp_path):
    """Runs command lines one after the other in a process without network; gives what they printed, and attempts."""

    def run(*commands, code=None):
        lines = code or "for argv in json.loads(sys.argv[1]):\n    assert cli.main(argv) == 0, argv"
        notes = tmp_path / "attempts"
        notes.touch()
        done = subprocess.run(
            [sys.executable, "-c", f"import json, sys\nfrom megatron_proxy import cli\n{lines}", json.dumps(commands)],
            env={**os.environ, "PYTHONPATH": f"{GUARD}{os.pathsep}{ROOT}", "NO_NETWORK": str(notes)},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        return done, notes.read_text()

    return run


def test_the_guard_refuses_and_notes(guarded):
    done, attempts = guarded(code="import socket; socket.create_connection(('192.0.2.1', 80), timeout=1)")
    assert "there is no network here" in done.stderr
    assert attempts == "socket.getaddrinfo 192.0.2.1\n"


@pytest.mark.long
def test_preparing_and_looking_reach_nowhere(guarded, tmp_path):
    corpus = write_corpus(tmp_path / "c.jsonl", TEXTS * 40)
    prefix = str(tmp_path / "p")
    done, attempts = guarded(
        ["prepare", "--input", corpus, "--output-prefix", prefix, "--workers", "1", "--compressor", "zstd,gzip,trie"],
        ["train-compressor", "sentencepiece", "--input", corpus, "--output", str(tmp_path / "m"),
         "--sentencepiece-vocab-size", "320"],
        ["verify", prefix, "--deep", "--workers", "1"],
        ["inspect", prefix],
    )  # fmt: skip
    assert (done.returncode, attempts) == (0, ""), done.stderr


def test_evaluating_generating_and_exporting_reach_nowhere(guarded, trained, tmp_path):
    load = ["--load", str(trained.folder)]
    corpus = write_corpus(tmp_path / "c.jsonl", TEXTS)
    done, attempts = guarded(
        ["evaluate", *load, "--input", corpus],
        ["generate", *load, "--prompt", "def f", "--max-bytes", "4"],
        ["export", *load, "--output", str(tmp_path / "folder")],
    )
    assert (done.returncode, attempts) == (0, ""), done.stderr
