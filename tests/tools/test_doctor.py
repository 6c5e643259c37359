"""The doctor's findings: what is there, what is missing, and what to do."""

import json
import logging
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import megatron_proxy
from megatron_proxy import cli
from megatron_proxy.adaptor import hooks
from megatron_proxy.data.dataset import manifest
from megatron_proxy.errors import UnsupportedError
from megatron_proxy.tools import doctor, patching
from megatron_proxy.tools.doctor import Finding, Status

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _same_path(monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.fixture
def checkout(tmp_path):
    for name in ("pretrain_gpt.py", "pretrain_hybrid.py"):
        (tmp_path / name).write_text('"""A script."""\nimport torch\n')
    return tmp_path


def by_subject(findings):
    return {finding.subject: finding for finding in findings}


def test_this_environment_would_train(capsys):
    assert cli.main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^ok    hooks                all \d+ fit Megatron-Core 0\.\d+\.\d+$", out, re.MULTILINE)
    for subject in ("python", "torch", "CUDA", "zstd library", "megatron-core"):
        assert re.search(rf"^(ok|note)  +{subject} +\w", out, re.MULTILINE)
    assert re.search(r"^(ok|note)  +transformer-engine ", out, re.MULTILINE)
    assert re.search(r"^(ok|note)  +apex ", out, re.MULTILINE)
    assert out.endswith(
        "\nnext: megatron-proxy prepare --input CORPUS.jsonl --output-prefix data/corpus --compressor zstd\n"
    )


def test_an_unpatched_checkout_fails_and_is_told_how(checkout, monkeypatch, capsys):
    monkeypatch.setattr(doctor, "_hooks", lambda: [])
    assert cli.main(["doctor", "--megatron-lm", str(checkout)]) == 1
    out = capsys.readouterr().out
    assert f"FAIL  pretrain_gpt.py      not patched\n{'':27}→ megatron-proxy patch {checkout}\n" in out
    assert out.endswith(
        f"\ntraining would not start: see the lines marked FAIL\nnext: megatron-proxy patch {checkout}\n"
    )
    assert cli.main(["patch", str(checkout)]) == 0
    assert cli.main(["doctor", "--megatron-lm", str(checkout)]) == 0


def test_a_folder_that_is_no_checkout(tmp_path):
    found = list(doctor._scripts(tmp_path))
    assert [finding.status for finding in found] == [Status.FAIL]
    assert "holds none of pretrain_gpt.py" in found[0].text


def test_a_missing_package(monkeypatch):
    monkeypatch.setattr(doctor, "_version", lambda name: None if name in ("nltk", "psutil") else "1.0")
    assert by_subject(doctor._packages(None))["nltk"] == Finding(
        Status.FAIL, "nltk", "not installed", "pip install nltk"
    )
    assert by_subject(doctor._packages("train"))["psutil"] == Finding(
        Status.FAIL, "psutil", "not installed", "pip install 'megatron-proxy[train]'"
    )


def test_where_data_alone_is_prepared_the_extra_is_named_and_data_are_looked_at(tmp_path, monkeypatch, capsys):
    """As on nodes that prepare: without torch and what training needs besides."""
    monkeypatch.setattr(doctor, "_version", lambda name: None if name in doctor._needs("train") else "1.0")
    monkeypatch.setitem(sys.modules, "torch", None)
    assert cli.main(["doctor", "--prefix", str(tmp_path / "corpus")]) == 1
    out = capsys.readouterr().out
    assert "FAIL  torch                cannot be imported (" in out
    assert "note  hooks                not looked at: that needs the packages above\n" in out
    assert f"FAIL  {tmp_path / 'corpus'}" in out
    assert out.endswith("next: pip install 'megatron-proxy[train]'\n")


def test_without_numpy_it_says_so(tmp_path):
    """In an interpreter where nothing is installed at all."""
    script = "import sys; sys.path.insert(0, sys.argv.pop(1)); from megatron_proxy import cli; sys.exit(cli.main())"
    root = str(ROOT)
    command = [sys.executable, "-I", "-S", "-c", script, root, "doctor"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")
    assert f"FAIL  numpy                not installed\n{'':27}→ pip install numpy\n" in done.stdout
    assert "FAIL  torch                cannot be imported (No module named 'torch')" in done.stdout
    assert done.stdout.endswith(
        "note  hooks, data          not looked at: that needs the packages above\n"
        "\ntraining would not start: see the lines marked FAIL\nnext: pip install numpy\n"
    )


def test_an_unsupported_megatron(monkeypatch):
    monkeypatch.setattr(hooks, "megatron_version", lambda: "0.15.3")
    found = by_subject(doctor._hooks())
    assert found["hooks"].status is Status.FAIL
    assert "0.15.3 is not supported; supported: 0.18 and 0.19" in found["hooks"].text


def test_a_hook_that_does_not_fit(monkeypatch):
    monkeypatch.setattr(hooks, "megatron_version", lambda: "0.19.7")
    monkeypatch.setattr(hooks, "problems", lambda: [UnsupportedError("no such thing", where="megatron.training.x")])
    assert list(doctor._hooks())[-1] == Finding(Status.FAIL, "hooks", "megatron.training.x: no such thing")


def test_no_megatron_at_all(monkeypatch):
    def missing():
        raise UnsupportedError("Megatron-Core cannot be imported", fix="pip install megatron-core")

    monkeypatch.setattr(hooks, "megatron_version", missing)
    assert list(doctor._hooks()) == [
        Finding(Status.FAIL, "megatron-core", "Megatron-Core cannot be imported", "pip install megatron-core")
    ]


def test_an_unprepared_prefix(tmp_path):
    (finding,) = doctor._dataset(str(tmp_path / "corpus"))
    assert finding.status is Status.FAIL
    assert finding.fix.startswith("megatron-proxy prepare --input CORPUS.jsonl --output-prefix")


def test_the_next_command_goes_step_by_step(checkout, monkeypatch):
    assert doctor.next_command(checkout, None, None) == f"megatron-proxy patch {checkout}"
    assert doctor.next_command(None, "data/x", None).startswith("megatron-proxy prepare")
    patching.patch(checkout / "pretrain_gpt.py")
    patching.patch(checkout / "pretrain_hybrid.py")
    command = doctor.next_command(checkout, "my data/x", "trie")
    assert command == f"torchrun … {checkout}/pretrain_gpt.py … --data-path 'my data/x' --proxy-compression trie"
    flags = "--data-path data/x --proxy-compression gzip"
    assert doctor.next_command(None, "data/x", "gzip") == f"torchrun … -m megatron_proxy.pretrain_gpt … {flags}"


def test_a_view_that_transfers_is_proposed(tmp_path):
    """gzip comes first in the alphabet, and is the shortest here, but it is a control, as halfbyte is."""
    prefix = str(tmp_path / "corpus")
    assert doctor.best_compressor(None) is None
    assert doctor.best_compressor(prefix) is None
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text(json.dumps({"text": "the same line over and over\n" * 50}) + "\n")
    units = {}
    for compressor, *options in (["gzip"], ["halfbyte"], ["trie", "--trie-symbols", "5", "--trie-longest", "2"]):
        arguments = ["--input", str(corpus), "--output-prefix", prefix, "--compressor", compressor, *options]
        assert cli.main(["prepare", *arguments, "--workers", "0"]) == 0
        units[compressor] = manifest.read(prefix).compressed[compressor].view.units
        assert doctor.best_compressor(prefix) == {"halfbyte": "gzip"}.get(compressor, compressor)
    assert list(manifest.read(prefix).compressed) == ["gzip", "halfbyte", "trie"]
    assert units["gzip"] < units["trie"] < units["halfbyte"]


def test_what_is_needed_is_what_is_declared(tmp_path, monkeypatch):
    """In a checkout, and as the metadata of a wheel say."""
    data, training = doctor._needs(None), doctor._needs("train")
    assert data == ["numpy", "numba", "zstandard", "sentencepiece", "nltk", "orjson", "safetensors", "tqdm"]
    assert training == ["psutil", "pyyaml", "pydantic", "six"]
    lines = [*(f"{name}>=1.0" for name in data), *(f'{name}>=1.0; extra == "train"' for name in training)]
    monkeypatch.setattr(megatron_proxy, "__file__", str(tmp_path / "megatron_proxy" / "__init__.py"))
    monkeypatch.setattr(doctor, "requires", lambda name: [*lines, 'megatron-proxy[train]; extra == "gpu"'])
    # Some package or other leaves its own behind.
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "other"\ndependencies = ["wheel"]\n')
    assert (doctor._needs(None), doctor._needs("train")) == (data, training)


def test_what_torch_and_megatron_say_on_import_stays_out_of_the_table(monkeypatch, capsys):
    import torch

    def available():
        warnings.warn("CUDA initialization: no driver", stacklevel=2)
        logging.getLogger("torch.utils").warning("No CUDA runtime is found")
        return False

    monkeypatch.setattr(torch.cuda, "is_available", available)
    assert [finding.subject for finding in doctor._torch()] == ["torch", "CUDA"]
    assert capsys.readouterr().err == ""
    assert logging.root.manager.disable == logging.NOTSET
