"""The page about the comparison: its results are those of a folder of compare.sh, and it names every configuration."""

import json
from pathlib import Path

import make_compare

ROOT = Path(__file__).parents[2]
PAGE = make_compare.PAGE.read_text(encoding="utf-8")
FIGURES = {
    "name": "bytes",
    "compressor": "trie",
    "mode": "vanilla",
    "rate": 0.0,
    "steps": 4,
    "tokens": 512,
    "flops": 6.1e7,
    "parameters": 35376,
    "parameters_without_embeddings": 2608,
    "vocabulary": 820,
    "padded_vocabulary": 1024,
    "source_bytes": {"raw": 511, "compressed": 0},
    "milliseconds_per_step": 44.3,
    "lm_loss": 6.9,
    "training_bpb": {"raw": 9.98, "compressed": None},
    "validation_bpb": {"raw": 9.97, "compressed": None},
    "held_out_bpb": {"raw": 9.95},
    "held_out_accuracy": {"raw": 0.25},
    "lacks": [],
}


def test_the_table_of_a_folder(tmp_path):
    (tmp_path / "compare.json").write_text(json.dumps([FIGURES, FIGURES | {"name": "again", "held_out_bpb": {}}]))
    lines = make_compare.results(tmp_path).splitlines()
    assert lines[:2] == ["|  | bytes | again |", "| --- | ---: | ---: |"]
    assert "| held-out BPB, raw view | 9.950 | - |" in lines
    assert "| FLOPs | 6.10e+07 | 6.10e+07 |" in lines


def test_the_page_has_a_place_for_results_and_names_every_configuration():
    before, rest = PAGE.split(make_compare.BEGIN)
    assert make_compare.END in rest
    for path in (ROOT / "examples" / "compare").glob("*.env"):
        size = path.stem.removeprefix("cluster-")
        assert path.stem == "cluster" or size in before, f"docs/compare.md does not mention {path.name}"
