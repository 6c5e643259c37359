"""Exported folders load with the oldest and the newest release of transformers: see contract.py."""

import importlib.util
import json
import re
import tomllib
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

_spec = importlib.util.spec_from_file_location("contract", Path(__file__).with_name("contract.py"))
contract = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(contract)

RECORDED = json.loads(contract.CONTRACT.read_text())
AGAIN = "an export has changed: tests/transformers.sh tries it with the releases and writes the contract again"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("exported") / "hf"
    contract.make(made)
    return made


def test_the_files_are_those_that_the_releases_read(folder):
    assert contract.digests(folder) == RECORDED["files"], AGAIN


def test_the_installed_release_answers_like_them(folder):
    assert contract.answers(folder) == RECORDED["answers"]


def test_the_answers_are_right():
    batch = RECORDED["answers"]["batch"]
    assert set(batch) == {"input_ids", "attention_mask"}
    bytes_of = [[12, *(byte + 64 for byte in text.encode())] for text in contract.TEXTS]
    padding = len(bytes_of[0]) - len(bytes_of[1])
    assert batch["input_ids"] == [bytes_of[0], [0] * padding + bytes_of[1]]
    assert batch["attention_mask"] == [[1] * len(bytes_of[0]), [0] * padding + [1, 1]]
    assert RECORDED["answers"]["decoded"] == list(contract.TEXTS)
    assert RECORDED["answers"]["written"][:2] == bytes_of[1]
    assert len(RECORDED["answers"]["written"]) > 2


def test_the_oldest_release_that_is_allowed_is_among_them_and_one_of_each_major():
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())
    (oldest,) = re.findall(r"'transformers>=([\d.]+)'", str(project["project"]["optional-dependencies"]["dev"]))
    assert any(f"{release}.".startswith(f"{oldest}.") for release in RECORDED["releases"])
    assert {release.partition(".")[0] for release in RECORDED["releases"]} >= {"4", "5"}
