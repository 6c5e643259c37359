"""A run's folder."""

import json
from pathlib import Path

import pytest
from report_logs import HEAD, LINES


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A log, evaluations of both views (two of the raw one), a generation, and things of other kinds."""
    folder = tmp_path / "proxy-zstd"
    folder.mkdir()
    (folder / "train.log").write_text(HEAD + "\n".join(LINES) + "\n")
    for name, view, iteration, bpb in (("a", "raw", 20, 3.9), ("b", "raw", 40, 3.1), ("c", "compressed", 40, 2.75)):
        found = {"view": view, "iteration": iteration, "bpb": bpb, "bytes": 1000, "documents": 2, "accuracy": 0.5}
        (folder / f"{name}.json").write_text(json.dumps(found))
    (folder / "samples.jsonl").write_text(
        json.dumps({"prompt": "def <f>(", "completion": "x & \udc80)", "reason": "length"}) + "\n"
    )
    (folder / "corpus.jsonl").write_text('{"text": "prompt"}\n')
    (folder / "settings.json").write_text('["bpb", "view"]')
    (folder / "prepare.log").write_text("1 document\n")
    (folder / "iter_0000040").mkdir()
    (folder / "iter_0000040" / "common.log").write_bytes(b"\0")
    return folder
