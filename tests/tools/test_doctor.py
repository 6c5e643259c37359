"""The doctor's findings: what is there, what is missing, and what to do."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from megatron_proxy import cli
from megatron_proxy.adaptor import hooks
from megatron_proxy.errors import UnsupportedError
from megatron_proxy.tools import doctor
from megatron_proxy.tools.doctor import Finding, Status


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


@pytest.mark.megatron
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
    monkeypatch.setattr(doctor, "_version", lambda name: None if name == "nltk" else "1.0")
    assert by_subject(doctor._packages())["nltk"] == Finding(Status.FAIL, "nltk", "not installed", "pip install nltk")


def test_without_numpy_it_says_so(tmp_path):
    """In an interpreter where nothing is installed at all."""
    script = "import sys; sys.path.insert(0, sys.argv.pop(1)); from megatron_proxy import cli; sys.exit(cli.main())"
    root = str(Path(doctor.__file__).parents[1])
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


def test_the_next_command_goes_step_by_step(checkout):
    assert doctor.next_command(checkout, None, None) == f"megatron-proxy patch {checkout}"
    assert doctor.next_command(None, "data/x", None).startswith("megatron-proxy prepare")
    assert doctor.next_command(None, "data/x", "gzip").endswith("--data-path data/x --proxy-compression gzip")
