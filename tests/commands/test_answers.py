"""``--json``: one object on standard output, whatever else is said goes elsewhere."""

import json
import signal
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import pytest
from preparing import TEXTS, write_corpus

from megatron_proxy.commands import _model
from megatron_proxy.data.dataset import manifest
from megatron_proxy.tools import doctor
from megatron_proxy.tools.doctor import Finding, Status


@pytest.fixture
def prefix(tmp_path, corpus, command):
    before = signal.getsignal(signal.SIGTERM)
    prefix = str(tmp_path / "p")
    code, out, err = command(
        "prepare", "--input", corpus, "--output-prefix", prefix, "--compressor", "toy", "--workers", 0, "--json"
    )
    signal.signal(signal.SIGTERM, before)
    assert code == 0
    # What people read meanwhile.
    assert err.startswith(f"{prefix}: 6 documents, 93 bytes in the raw view\n")
    entry = manifest.read(prefix).compressed["toy"]
    view = {
        "codes": entry.view.units,
        "symbols": entry.num_symbols,
        "ids": entry.vocabulary.size,
        "bytes_per_code": 93 / entry.view.units,
    }
    dataset = {"prefix": prefix, "documents": 6, "bytes": 93, "skipped_lines": 0, "views": {"toy": view}}
    flags = ["--data-path", prefix, "--proxy-compression", "toy"]
    assert json.loads(out) == {"datasets": [dataset], "train_with": flags}
    return prefix


def test_verify(prefix, command):
    code, out, err = command("verify", prefix, "--deep", "--workers", 0, "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    size = found.pop("bytes")
    assert size == sum(stored.size for stored in manifest.read(prefix).stored_files())
    documents = {"decoded": {"toy": 6}, "encoded": {"toy": 1}}
    assert found == {"prefix": prefix, "well": True, "files": 7, "plans": 0, **documents, "problems": [], "notes": []}
    Path(f"{prefix}_toy_table.bin").write_bytes(b"\xff")
    code, out, _ = command("verify", prefix, "--json")
    found = json.loads(out)
    assert (code, found["well"], len(found["problems"])) == (1, False, 2)
    assert f"{prefix}_toy_table.bin: the content is not what the manifest says (SHA-256)" in found["problems"]


def test_an_error_leaves_standard_output_empty(tmp_path, command):
    code, out, err = command("verify", tmp_path / "nothing", "--json")
    assert (code, out) == (1, "")
    assert "is not a prepared dataset" in err


@pytest.mark.parametrize(
    ("findings", "code", "following"),
    [
        ([Finding(Status.OK, "python", "3.12.1")], 0, "megatron-proxy prepare --input CORPUS.jsonl"),
        ([Finding(Status.FAIL, "x", "no"), Finding(Status.FAIL, "nltk", "not installed", "pip install nltk")],
         1, "pip install nltk"),
        ([Finding(Status.FAIL, "x", "no")], 1, None),
    ],
)  # fmt: skip
def test_doctor(command, monkeypatch, findings, code, following):
    def examine(megatron_lm, prefix):
        for finding in findings:
            print("what a library says on import")
            yield finding

    monkeypatch.setattr(doctor, "examine", examine)
    found, out, err = command("doctor", "--json")
    assert found == code
    assert err == "what a library says on import\n" * len(findings)
    answer = json.loads(out)
    assert answer["findings"] == [finding._asdict() for finding in findings]
    assert answer["would_train"] is (code == 0)
    assert answer["next"] is None if following is None else answer["next"].startswith(following)


@pytest.fixture
def held_out(tmp_path, monkeypatch):
    """A corpus, and a model that commands find whatever --load says."""
    pytest.importorskip("torch")
    import random_model

    model = random_model.model(replace(random_model.LLAMA, context=16))
    checkpoint = Namespace(folder=Path("c"), iteration=1, args=Namespace(), sentinels=True)
    monkeypatch.setattr(_model, "load", lambda args: (checkpoint, model))
    return write_corpus(tmp_path / "é.jsonl", TEXTS)


@pytest.mark.parametrize("name", ["evaluate", "robustness"])
def test_figures_are_those_of_the_file(held_out, tmp_path, command, name):
    output = tmp_path / "figures.json"
    code, out, err = command(name, "--load", "c", "--input", held_out, "--output", output, "--json")
    assert (code, err) == (0, "")
    assert out == output.read_text(encoding="utf-8")
    figures = json.loads(out)
    assert figures["checkpoint"] == "c"
    if name == "evaluate":
        assert figures["files"].keys() == {held_out}
        assert "é.jsonl" in out
    else:
        assert next(iter(figures["prompts"])) == "clean"
