"""The model card of an exported folder: it is true, the hub reads it, and its code runs."""

import json
import re
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

import random_model  # noqa: E402

from megatron_proxy import cli  # noqa: E402
from megatron_proxy.errors import ConfigurationError  # noqa: E402
from megatron_proxy.model.hf import card, export  # noqa: E402

SHAPE = replace(random_model.LLAMA, context=512)
FOUND = {
    "checkpoint": "iter_0000500",
    "iteration": 500,
    "view": "raw",
    "documents": 1234,
    "bytes": 56789,
    "bpb": 3.5,
    "bpb_of_bytes_alone": 3.25,
    "accuracy": 0.5,
    "files": {"data/a|b.jsonl": {}, "c.jsonl": {}},
}


@pytest.fixture
def write(tmp_path):
    """Exports a random model and gives the folder's card."""

    def write(*evaluations, **args):
        made = random_model.checkpoint(SHAPE, iteration=500, **args)
        export(made, tmp_path / "my model", dtype=torch.float32, overwrite=True, evaluations=evaluations)
        return (tmp_path / "my model" / "README.md").read_text()

    return write


def evaluation(tmp_path, **changes):
    path = tmp_path / "bpb.json"
    path.write_text(json.dumps(FOUND | changes))
    return card.read_evaluation(path)


@pytest.mark.long
def test_its_code_loads_the_model_and_writes(write, tmp_path, monkeypatch, capsys):
    (code,) = re.findall(r"```python\n(.*?)```", write(), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    assert capsys.readouterr().out.startswith("def read(")


def test_the_hub_reads_its_head_and_the_licence_is_left_open(write):
    hub = pytest.importorskip("huggingface_hub")
    text = write()
    data = hub.ModelCard(text, ignore_metadata_errors=False).data
    assert (data.library_name, data.pipeline_tag, data.license) == ("transformers", "text-generation", None)
    assert "license: # yours to choose" in text
    assert "## Licence\n\nNone is given." in text


def test_it_tells_the_model_and_its_training(write):
    text = write(consumed_train_samples=4000)
    for row in (
        "| layers, width, heads | 2, 24, 4 |",
        "| context | 512 ids, each a byte |",
        "| weights in | float32 |",
        "| trained for | 500 steps |",
        "| windows trained on | 4,000 |",
        "| compressor of the training | zstd |",
        "| mode | sentinel |",
    ):
        assert row in text.splitlines()
    assert text.startswith("---\n")
    assert "\n# my model\n" in text
    assert "windows trained on" not in write()


def test_figures_are_those_of_evaluations_or_none(write, tmp_path):
    assert "## Figures\n\nNone are known here." in write()
    text = write(evaluation(tmp_path))
    assert r"| a\|b.jsonl, c.jsonl | 1,234 | 56,789 | 3.2500 | 50.0% |" in text.splitlines()
    assert "None are known" not in text


def test_figures_of_another_iteration_are_refused(write, tmp_path):
    with pytest.raises(ConfigurationError, match="its figures are of iteration 400, and 500 is exported"):
        write(evaluation(tmp_path, iteration=400))
    assert not (tmp_path / "my model").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"view": "compressed"}, "its figures are of the compressed view"),
        ({"bpb_of_bytes_alone": None}, "holds no figures of an evaluation"),
        ({"iteration": "x"}, "holds no figures of an evaluation"),
    ],
)
def test_files_of_other_kinds(tmp_path, changes, said):
    with pytest.raises(ConfigurationError, match=said):
        evaluation(tmp_path, **changes)


def test_the_command_looks_at_the_files_first(tmp_path, capsys):
    (tmp_path / "a.json").write_text("[1")
    command = ["export", "--load", "nowhere", "--output", str(tmp_path / "hf"), "--evaluation"]
    assert cli.main([*command, str(tmp_path / "a.json")]) == 1
    assert f"--evaluation {tmp_path / 'a.json'}: cannot be read (it is no JSON)" in capsys.readouterr().err
    assert cli.main([*command, str(tmp_path / "b.json")]) == 1
    assert "cannot be read (No such file or directory)" in capsys.readouterr().err
    (tmp_path / "a.json").write_text("[1]")
    assert cli.main([*command, str(tmp_path / "a.json")]) == 1
    assert "holds no figures of an evaluation" in capsys.readouterr().err
