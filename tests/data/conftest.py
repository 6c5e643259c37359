"""Tiny compressors that workers can import too, and a way to prepare in this process."""

import pytest
from preparing import TEXTS, write_corpus

from megatron_proxy.data.prepare import Job, Recipe, prepare


@pytest.fixture(autouse=True)
def _tiny(toys):
    """Every test here may name them."""


@pytest.fixture
def corpus(tmp_path):
    """The path of a corpus of six documents."""
    return write_corpus(tmp_path / "corpus.jsonl", TEXTS)


@pytest.fixture
def run(tmp_path):
    """Prepare ``tmp_path/p`` in this process; returns the lines of the report."""

    def run(*inputs, prefix="p", compressors=("toy",), options=None, **settings):
        recipes = [Recipe(name, options or {}) for name in compressors]
        report = []
        job = Job(str(tmp_path / prefix), inputs, recipes, report=report.append, **({"workers": 0} | settings))
        prepare(job)
        return report

    return run
