"""Every compressor trains end to end: its views, Megatron's loop, both views' BPB in the log."""

import platform

import pytest
import tiny_data
import torch
from golden_compressors import NAMES, golden

from megatron_proxy import __version__
from megatron_proxy.tools.report import settings, training_log

# One of each kind in every run of the tests: with spans, without, with literals.
ALWAYS = ("zstd", "gzip", "sentencepiece")


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in ALWAYS else pytest.mark.slow) for n in NAMES])
def test_it_trains(training, tmp_path, name):
    compressor = golden(name)
    tiny_data.prepare_with(tmp_path / "p", tiny_data.documents(200, words=8), compressor)
    flags = f"--proxy-compression {name} --data-path {tmp_path / 'p'} --split 90,10,0 --proxy-validation-view both"
    run = training.train(training.TINY, training.LLAMA, training.NO_DROPOUT, flags, cwd=tmp_path)
    log = training_log.parse(run.log.splitlines())
    assert [entry.iteration for entry in log.training] == [1, 2, 3, 4]
    assert f"; {compressor.vocabulary.size:,} ids" in run.log
    versions = settings.parse(run.log.splitlines()).versions
    assert versions.startswith(f"megatron_proxy {__version__}, Megatron-Core 0.")
    assert versions.endswith(f"torch {torch.__version__}, Python {platform.python_version()}")
    measured = log.validation[-1].values
    assert 4 < measured["raw bpb"] < 20
    # A bit is a symbol: eight of them for a byte, each of about log2(vocabulary) bits.
    assert 0 < measured["compressed bpb"] < 80
