"""How compressors are come by: built, from another prefix, or from a description."""

import json

import pytest
from preparing import decoded, files_of, write_corpus

from megatron_proxy.data.dataset import manifest
from megatron_proxy.data.prepare import Job, prepare
from megatron_proxy.data.prepare.recipe import load, recipes, save
from megatron_proxy.errors import CompressorError, ConfigurationError, DatasetError


@pytest.fixture
def trained(tmp_path):
    """A compressor that has learnt, saved."""
    (recipe,) = recipes(["toy"], {"toy": {"learn": True}}, [])
    made = recipe.make(lambda: iter([b"a", b"b"]))
    written = save(made, tmp_path / "toy.model")
    assert [path.name for path in written] == ["toy.model", "toy.model.json"]
    return made


def test_a_saved_compressor_is_the_same_again(tmp_path, trained):
    assert (tmp_path / "toy.model").read_bytes() == bytes([3])
    assert load(tmp_path / "toy.model.json").fingerprint == trained.fingerprint


def test_other_prefixes_and_descriptions_give_their_compressor(tmp_path, corpus, run, trained):
    run(corpus, prefix="first", options={"shift": 9})
    for source in ("first", "first_manifest.json", "toy.model.json"):
        found = recipes(["whole", "toy"], {}, [str(tmp_path / source)])
        assert [recipe.name for recipe in found] == ["whole", "toy"]
        assert found[0].made is None
        assert found[1].made.shift == (3 if "model" in source else 9)
    # The source named first wins.
    both = recipes(["toy"], {}, [str(tmp_path / "toy.model.json"), str(tmp_path / "first")])
    assert both[0].made.shift == 3


def test_a_prefix_prepared_with_another_ones_compressor_shares_its_fingerprint(tmp_path, corpus, run):
    run(corpus, prefix="first", options={"learn": True})
    other = write_corpus(tmp_path / "other.jsonl", ["x", "y"])
    job = Job(str(tmp_path / "p"), [other], recipes(["toy"], {}, [str(tmp_path / "first")]), workers=1, report=str)
    prepare(job)
    fingerprints = {manifest.read(tmp_path / name).compressed["toy"].fingerprint for name in ("first", "p")}
    assert len(fingerprints) == 1
    assert decoded(tmp_path / "p", "toy") == [b"x", b"y"]
    assert files_of(tmp_path)["_toy_table.bin"] == bytes([7])


def test_a_compressor_with_several_files_or_none_is_saved_beside(tmp_path, trained, monkeypatch):
    monkeypatch.setattr(type(trained), "files", lambda self: {"a": b"1", "b": b"2"})
    assert [path.name for path in save(trained, tmp_path / "m")] == ["m.a", "m.b", "m.json"]
    monkeypatch.setattr(type(trained), "files", lambda self: {})
    assert [path.name for path in save(trained, tmp_path / "n")] == ["n.json"]


@pytest.mark.parametrize(
    ("names", "options", "sources", "kind", "message"),
    [
        (["zstdd"], {}, [], CompressorError, "no compressor is called 'zstdd'; did you mean 'zstd'"),
        (["whole"], {"toy": {"shift": 1}}, [], ConfigurationError, "--toy-shift: --compressor does not name toy"),
        (
            ["toy"],
            {"toy": {"shift": 1}},
            ["toy.model.json"],
            ConfigurationError,
            "--toy-shift: .* from --compressor-from",
        ),
        (
            ["whole"],
            {},
            ["toy.model.json"],
            ConfigurationError,
            "--compressor-from: '.*' has no compressor called whole",
        ),
        (["toy"], {}, ["nothing.json"], DatasetError, r"nothing\.json: cannot be read"),
        (["toy"], {}, ["nothing"], DatasetError, "'.*nothing' is not a prepared dataset"),
    ],
)
def test_what_does_not_fit_together_names_the_flag(tmp_path, trained, names, options, sources, kind, message):
    with pytest.raises(kind, match=message):
        recipes(names, options, [str(tmp_path / source) for source in sources])


def test_an_option_out_of_range_is_named():
    (recipe,) = recipes(["toy"], {"toy": {"shift": 201}}, [])
    with pytest.raises(CompressorError, match="--toy-shift: shift 201 is too much"):
        recipe.make(lambda: iter([]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "something"}, "not a description of a compressor"),
        ({"version": 2}, "not a description of a compressor, version 1"),
        ({"files": 3}, "the description is damaged"),
        ({"files": {"table.bin": {"name": "../toy.model", "size": 1, "sha256": ""}}}, "leaves the manifest's folder"),
        ({"files": {"table.bin": {"name": "none", "size": 1, "sha256": ""}}}, "none: cannot be read"),
        ({"config": {"shift": 4, "fault": ""}}, "the table does not fit"),
        ({"config": None}, "the description is damaged"),
        ({"fingerprint": "0"}, "another fingerprint than its description says"),
        ({"compressor": "unknown"}, "no compressor is called 'unknown'"),
    ],
)
def test_a_damaged_description_is_an_error(tmp_path, trained, change, message):
    path = tmp_path / "toy.model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises((DatasetError, CompressorError), match=message):
        load(path)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff", b"[" * 100_000])
def test_what_is_no_description_is_an_error(tmp_path, content):
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=r"x\.json: the description is damaged"):
        load(path)


def test_damaged_model_files_are_found(tmp_path, trained):
    (tmp_path / "toy.model").write_bytes(b"x")
    with pytest.raises(DatasetError, match=r"toy\.model: the content is not what the manifest says"):
        load(tmp_path / "toy.model.json")
