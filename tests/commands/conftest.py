"""The command line, run in this process with the tiny compressors of tests/helpers registered."""

import pytest
from preparing import TEXTS, write_corpus

from megatron_proxy import cli


@pytest.fixture
def corpus(tmp_path):
    """The path of a corpus of six documents."""
    return write_corpus(tmp_path / "corpus.jsonl", TEXTS)


@pytest.fixture
def command(toys, capsys):
    """Run a command line; returns (exit code, standard output, standard error)."""

    def command(*argv):
        capsys.readouterr()
        code = cli.main([str(argument) for argument in argv])
        return code, *capsys.readouterr()

    return command
