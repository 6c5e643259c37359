"""``prepare --dry-run``: of a corpus that is all beginning it tells what is made then, and writes nothing."""

import json
import os

import pytest
from preparing import write_corpus
from sources import give_input, write_all
from token_files import byte_level, write_tokens

from megatron_proxy.data.dataset import manifest
from megatron_proxy.data.prepare import Job, Recipe, prepare
from megatron_proxy.data.tokens import open_tokens
from megatron_proxy.errors import ConfigurationError, CorpusError
from megatron_proxy.tools import estimate as estimate_module
from megatron_proxy.tools.estimate import estimate

TEXTS = [f"document {number}, {number * 7919} of many\n" * (1 + number % 5) for number in range(300)] + [""]


def look(prefix, **job):
    return estimate(Job(str(prefix), workers=0, **job), 64)


def sizes(prefix):
    """What a dataset has, as an estimate tells it."""
    content = manifest.read(str(prefix))
    views = {"raw": [content.raw]} | {name: entry.stored_views() for name, entry in content.compressed.items()}
    return {
        "documents": content.documents,
        "bytes": content.raw.units,
        "disk_bytes": {
            name: sum(stored.size for view in found for stored in view.stored_files()) for name, found in views.items()
        },
        "codes": {name: entry.view.units for name, entry in content.compressed.items()},
    }


def told(content):
    (dataset,) = content["datasets"]
    codes = {name: view["codes"] for name, view in dataset["views"].items()}
    return {name: dataset[name] for name in ("documents", "bytes", "disk_bytes")} | {"codes": codes}


@pytest.mark.long
def test_a_small_corpus_of_every_kind_is_told_exactly(tmp_path, monkeypatch):
    found = write_all(tmp_path, TEXTS)
    recipes = [Recipe("gzip"), Recipe("trie", {"symbols": 300, "longest": 8})]
    for name, (path, taking) in found.items():
        before = sorted(os.listdir(tmp_path))
        lines, content = look(tmp_path / "p", inputs=[path], taking=taking, recipes=recipes)
        assert sorted(os.listdir(tmp_path)) == before
        if name == "c.jsonl":
            prepare(Job(str(tmp_path / "p"), [path], recipes, workers=0, taking=taking, report=str))
            expected = sizes(tmp_path / "p")
        assert told(content) == expected, name
        assert lines[-1] == "nothing was written"
    assert "learnt from these documents alone" in "\n".join(lines)
    lines, content = look(tmp_path / "q", inputs=[found["c.jsonl"][0], found["records.tar"][0]])
    assert content["kinds"] == {"JSONL": 1, "tar": 1}
    assert lines[0] == "JSONL: 1 source"
    give_input(monkeypatch, (tmp_path / "c.jsonl").read_bytes())
    assert told(look(tmp_path / "p", inputs=["-"])[1])["documents"] == len(TEXTS)


@pytest.mark.long
def test_of_a_long_one_the_rest_is_taken_to_be_like_its_beginning(tmp_path, monkeypatch):
    monkeypatch.setattr(estimate_module, "_READ_BYTES", 5_000)
    found = write_all(tmp_path, TEXTS * 4)
    total = sum(map(len, TEXTS)) * 4
    monkeypatch.setattr(estimate_module.chunks, "__kwdefaults__", {"shard": (0, 1), "size": 4096})
    for name in ("c.jsonl", "files", "c.arrow"):
        path, taking = found[name]
        lines, content = look(tmp_path / "p", inputs=[path], taking=taking, recipes=[Recipe("identity")])
        assert 0 < content["share_read"] < 1, name
        (dataset,) = content["datasets"]
        assert dataset["bytes"] == pytest.approx(total, rel=0.5), name
        assert dataset["views"]["identity"]["codes"] == pytest.approx(dataset["bytes"], rel=0.01)
    (half,) = look(tmp_path / "p", inputs=[found["c.jsonl"][0]], shard=(0, 2))[1]["datasets"]
    assert half["bytes"] == pytest.approx(total / 2, rel=0.5)
    assert half["prefix"] == str(tmp_path / "p_shard-00000-of-00002")
    (some,) = look(tmp_path / "p", inputs=[found["c.jsonl"][0]], max_documents=600)[1]["datasets"]
    assert some["documents"] == 600
    (few,) = look(tmp_path / "p", inputs=[found["c.jsonl"][0]], max_documents=7)[1]["datasets"]
    assert few["documents"] == 7
    give_input(monkeypatch, (tmp_path / "c.jsonl").read_bytes())
    lines, content = look(tmp_path / "p", inputs=["-"])
    assert content["share_read"] is None
    assert content["datasets"][0]["bytes"] == 10**9
    assert "cannot be known of standard input; what follows is per GB of text" in "\n".join(lines)


def test_ids_that_are_there(tmp_path):
    tokenizer = byte_level(tmp_path / "tokenizer.json", TEXTS)
    write_tokens(tmp_path / "ids", [[[*tokenizer.encode(text).ids, 0]] for text in TEXTS])
    corpus, compressor = open_tokens([str(tmp_path / "ids")], str(tmp_path), {}, eod=None, drop=False)
    job = {"given": corpus, "recipes": [Recipe("hf", made=compressor)]}
    lines, content = look(tmp_path / "p", **job)
    assert lines[0] == "Megatron tokens: 1 source"
    prepare(Job(str(tmp_path / "p"), workers=0, report=str, **job))
    assert told(content) == sizes(tmp_path / "p")


def test_what_cannot_be_told(tmp_path):
    path = write_corpus(tmp_path / "c.jsonl", ["a", "b"])
    lines, content = look(tmp_path / "p", inputs=[path], recipes=[Recipe("neural", {"steps": 1})])
    assert f"{tmp_path / 'p'}: the neural compressor takes long to learn: its view cannot be told before" in lines
    assert content["datasets"][0]["views"] == {}
    with pytest.raises(ConfigurationError, match="--dry-run: there is nothing to look at"):
        look(tmp_path / "p")
    (tmp_path / "bad.jsonl").write_text(json.dumps({"text": "a"}) + "\nbad\n")
    with pytest.raises(CorpusError, match=r"bad\.jsonl:2: the line is not JSON"):
        look(tmp_path / "p", inputs=[str(tmp_path / "bad.jsonl")])
    lines, _ = look(tmp_path / "p", inputs=[str(tmp_path / "bad.jsonl")], skip_bad_lines=True)
    assert "1 bad lines are passed over in the beginning" in lines
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(CorpusError, match="the corpus holds no documents"):
        look(tmp_path / "p", inputs=[str(tmp_path / "empty.jsonl")])
