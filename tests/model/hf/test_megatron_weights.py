"""Export and back, without Megatron: every tensor and the architecture come back; what is none of ours is refused."""

import itertools
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import random_model  # noqa: E402
import tiny_data  # noqa: E402

from megatron_proxy import cli  # noqa: E402
from megatron_proxy.errors import CheckpointError, ConfigurationError, ProxyError, UnsupportedError  # noqa: E402
from megatron_proxy.model.hf import export, importing, megatron_weights, rows, shape  # noqa: E402
from megatron_proxy.model.hf.folder import HfFolder, check_raw  # noqa: E402
from megatron_proxy.model.network import Architecture  # noqa: E402
from megatron_proxy.model.network.architecture import Rope  # noqa: E402
from megatron_proxy.model.network.weights import sort_qkv, unsort_qkv  # noqa: E402

LLAMA = replace(random_model.LLAMA, rope=Rope(8, 5000.0))
KINDS = {
    "plain": LLAMA,
    "tied": replace(LLAMA, tied=True),
    "biases": replace(LLAMA, linear_bias=True, qkv_bias=True),
    "query biases": replace(LLAMA, qkv_bias=True, groups=1),
    "norms of queries and keys": replace(LLAMA, qk_norm=True),
    "windows": replace(LLAMA, window=9),
    "windows and query biases": replace(LLAMA, qkv_bias=True, window=9),
    "llama 3 positions": replace(LLAMA, groups=4, rope=Rope(8, 500000.0, stretch=8.0)),
}
WORDS, OUTPUT = "embedding.word_embeddings.weight", "output_layer.weight"


def exported(folder: Path, kind: Architecture = LLAMA, mode: str = "sentinel", **options) -> Path:
    export(random_model.checkpoint(kind, proxy_mode=mode), folder, dtype=torch.float32, **options)
    return folder


def back(folder: Path, vocabulary: int = 330, seed: int = 1) -> megatron_weights.MegatronWeights:
    found = HfFolder(folder)
    check_raw(found)
    drawing = rows.Drawing(seed, 0.02)
    return megatron_weights.MegatronWeights(found, importing.shape_of(found), vocabulary, None, drawing)


def megatrons_names(kind: Architecture) -> list[str]:
    """The names of the tensors that Megatron's model of this architecture has."""
    return [
        name
        for name in random_model.tensors(kind).shapes
        if not ("position_emb" in name or "tokentype" in name)
        and not (("q_layer" in name or "k_layer" in name) and not kind.qk_norm)
        and not (name == OUTPUT and kind.tied)
        and not (name.endswith(("norm.bias", "layernorm.bias")) or name.endswith("norm_bias"))
        and not (name.endswith(".bias") and not (kind.linear_bias or ("linear_qkv" in name and kind.qkv_bias)))
    ]


@pytest.mark.parametrize("shard_bytes", [10**9, 8000], ids=["one file", "shards"])
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_tensor_comes_back(kind, shard_bytes, tmp_path):
    found = back(exported(tmp_path / "hf", kind, shard_bytes=shard_bytes))
    assert found.shape == replace(kind, vocabulary=320)
    tensors = random_model.tensors(kind)
    names = megatrons_names(kind)
    assert len(names) >= 14
    for name in names:
        expected, values = tensors.read(name), found.read(name)
        if name in (WORDS, OUTPUT):
            assert values.shape == expected.shape
            expected, values = expected[:320], values[:320]
        assert torch.equal(values, expected), name


def test_queries_keys_and_values_are_put_back_by_group():
    mixed = torch.arange(64.0)[:, None] + torch.arange(3)
    assert torch.equal(unsort_qkv(sort_qkv(mixed, LLAMA), LLAMA), mixed)
    assert sort_qkv(mixed, LLAMA)[:16, 0].tolist() == list(range(16))
    assert not torch.equal(sort_qkv(mixed, LLAMA), mixed)


def test_new_rows_depend_on_the_seed_and_their_number_alone(tmp_path):
    folder = exported(tmp_path / "hf")
    small, large, other = back(folder), back(folder, 2500), back(folder, seed=2)
    for name in (WORDS, OUTPUT):
        assert torch.equal(large.read(name)[:330], small.read(name))
        assert not torch.equal(other.read(name)[320:], small.read(name)[320:])
        rows = large.read(name)[320:]
        assert rows.std() == pytest.approx(0.02, rel=0.02)
        assert rows.mean().abs() < 3e-4
    assert not torch.equal(small.read(WORDS)[320:], small.read(OUTPUT)[320:])


def test_new_rows_are_normal():
    drawn = np.sort(rows.new_rows(0, 100, 1000, 7, 0).ravel())
    # Quantiles of the standard normal distribution.
    for share, quantile in ((0.01, -2.3263), (0.158655, -1.0), (0.5, 0.0), (0.841345, 1.0), (0.99, 2.3263)):
        assert drawn[int(share * drawn.size)] == pytest.approx(quantile, abs=0.03)
    assert np.isfinite(drawn).all()


def test_flags_are_those_of_the_model():
    flags = shape.megatron_flags(replace(LLAMA, qkv_bias=True, rope=Rope(8, 500000.0, stretch=8.0)))
    pairs = dict(itertools.pairwise(flags))
    assert (pairs["--num-query-groups"], pairs["--rotary-base"], pairs["--kv-channels"]) == ("2", "500000", "8")
    assert {"--swiglu", "--disable-bias-linear", "--add-qkv-bias", "--use-rope-scaling"} < set(flags)
    tied = shape.megatron_flags(replace(LLAMA, tied=True, linear_bias=True, qkv_bias=True, groups=4))
    assert not {"--untie-embeddings-and-output-weights", "--disable-bias-linear", "--num-query-groups"} & set(tied)


def test_a_folder_that_transformers_saved_again_is_taken(tmp_path):
    transformers = pytest.importorskip("transformers")
    folder = exported(tmp_path / "hf")
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        model.model.norm.weight += 1
    model.save_pretrained(tmp_path / "again")
    transformers.AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path / "again")
    norm = "decoder.final_layernorm.weight"
    assert torch.equal(back(tmp_path / "again").read(norm), back(folder).read(norm) + 1)
    assert torch.equal(back(tmp_path / "again").read(WORDS), back(folder).read(WORDS))


def change(path: Path, **changes) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("changes", "kind", "told"),
    [
        ({"model_type": "mistral"}, UnsupportedError, "the model is a LlamaForCausalLM, not a MistralForCausalLM"),
        ({"model_type": "gpt9"}, UnsupportedError, "a gpt9, which is not supported: known are llama, mistral, qwen2"),
        ({"model_type": "olmo2"}, UnsupportedError, "a olmo2, which is not supported: it has norms behind attention"),
        ({"model_type": ["llama"]}, UnsupportedError, "is a \\['llama'\\], which is not supported"),
        ({"auto_map": {"AutoModel": "x.Y"}}, UnsupportedError, "asks for code of its own .auto_map., which is never"),
        ({"vocab_size": "x"}, CheckpointError, "has x ids, not the 64 specials"),
        ({"architectures": ["LlamaForSequenceClassification"]}, UnsupportedError, "a LlamaForSequenceClassification"),
        ({"vocab_size": 32000}, CheckpointError, "has 32000 ids, not the 64 specials and 256 bytes"),
        ({"quantization_config": {"bits": 4}}, UnsupportedError, "quantized"),
        ({"hidden_act": "gelu"}, UnsupportedError, "the activation 'gelu' is not supported; silu is"),
        ({"rope_parameters": {"rope_type": "yarn", "factor": 2.0}}, UnsupportedError, "'yarn'.* are not supported"),
        ({"rope_parameters": {"rope_theta": 10000.5}}, UnsupportedError, "whole numbers .* not 10000.5"),
        ({"num_hidden_layers": 0}, CheckpointError, "num_hidden_layers is 0"),
        ({"num_hidden_layers": 3}, CheckpointError, r"'model.layers.2.input_layernorm.weight' is missing"),
        ({"num_hidden_layers": 1}, CheckpointError, r"'model.layers.1.\S+' has no place"),
        ({"intermediate_size": 41}, CheckpointError, r"has the shape \(40, 24\), and config.json asks for \(41, 24\)"),
        ({"num_key_value_heads": 3}, CheckpointError, "4 heads cannot share 3"),
        ({"num_hidden_layers": 10**12}, CheckpointError, r"'model.layers.2.input_layernorm.weight' is missing"),
        ({"architectures": 5}, UnsupportedError, "the model is a 5, not a LlamaForCausalLM"),
        ({"rms_norm_eps": "x"}, CheckpointError, "rms_norm_eps is 'x', and no small number"),
        ({"rms_norm_eps": float("nan")}, CheckpointError, "rms_norm_eps is nan, and no small number"),
        ({"rope_scaling": "x"}, CheckpointError, "rope_scaling is 'x', and no object"),
        ({"rope_parameters": {"rope_theta": float("nan")}}, UnsupportedError, "whole numbers .* not nan"),
    ],
)
def test_other_models_are_refused_by_name(changes, kind, told, tmp_path):
    folder = exported(tmp_path / "hf")
    change(folder / "config.json", **changes)
    with pytest.raises(kind, match=told):
        back(folder)


def test_other_tokens_are_refused(tmp_path):
    folder = exported(tmp_path / "hf")
    content = json.loads((folder / "tokenizer.json").read_text())
    content["model"]["vocab"]["!"], content["model"]["vocab"]["a"] = 161, 97
    (folder / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match="its tokens are not the specials and the 256 bytes"):
        back(folder)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match=r"tokenizer.json: cannot be read \(No such file or directory\)"):
        back(folder)


@pytest.mark.parametrize("changes", [{"model": {"vocab": [1]}}, {"added_tokens": [1, {"content": [1], "id": 1}]}])
def test_tokens_of_another_form_are_refused(changes, tmp_path):
    folder = exported(tmp_path / "hf")
    change(folder / "tokenizer.json", **changes)
    with pytest.raises(CheckpointError, match="its tokens are not the specials and the 256 bytes"):
        back(folder)


def test_half_written_folders_are_told(tmp_path):
    whole = exported(tmp_path / "hf", shard_bytes=8000)
    with pytest.raises(CheckpointError, match="there is no such folder"):
        HfFolder(tmp_path / "nothing")
    shard = "model-00002-of-"

    def damaged(what: str) -> Path:
        return Path(shutil.copytree(whole, tmp_path / what))

    (folder := damaged("missing")).joinpath(next(whole.glob(f"{shard}*")).name).unlink()
    with pytest.raises(CheckpointError, match=rf"{shard}\S+: cannot be read"):
        HfFolder(folder)
    path = next((folder := damaged("cut")).glob(f"{shard}*"))
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match=rf"{shard}\S+: cannot be read"):
        HfFolder(folder)
    change((folder := damaged("outside")) / "model.safetensors.index.json", weight_map={"x": "../x.safetensors"})
    with pytest.raises(CheckpointError, match=r"a file outside the folder: '\.\./x.safetensors'"):
        HfFolder(folder)
    (folder := damaged("none")).joinpath("model.safetensors.index.json").unlink()
    with pytest.raises(CheckpointError, match=r"holds neither model.safetensors nor"):
        HfFolder(folder)
    (folder := damaged("config")).joinpath("config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"config.json: cannot be read"):
        HfFolder(folder)


def test_what_is_there_is_not_replaced_unless_told(tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    flags = ["--load", "x", "--prefix", "p", "--compressor", "trie", "--output", str(tmp_path / "mine")]
    assert cli.main(["import", *flags]) == 1
    assert "exists already" in capsys.readouterr().err
    with pytest.raises(ConfigurationError, match="exists already"):
        importing.import_folder(Path("x"), tmp_path / "mine", prefix="p", compressor="trie")
    assert (tmp_path / "mine").is_dir()


@pytest.mark.parametrize(
    ("flag", "value", "told"),
    [("--init-method-std", "0", "must be above 0"), ("--make-vocab-size-divisible-by", "0", "must be at least 1")],
)
def test_numbers_that_make_no_sense(flag, value, told, tmp_path, capsys):
    flags = ["--load", "x", "--prefix", "p", "--compressor", "trie", "--output", str(tmp_path / "new")]
    assert cli.main(["import", *flags, flag, value]) == 1
    assert f"{flag}: {told}" in capsys.readouterr().err


def test_a_dataset_that_is_not_prepared_is_told_before_megatron_starts(tmp_path):
    folder = exported(tmp_path / "hf")
    with pytest.raises(ProxyError, match="is not a prepared dataset"):
        importing.import_folder(folder, tmp_path / "new", prefix=str(tmp_path / "none"), compressor="trie")
    tiny_data.prepare(tmp_path / "data", [b"ab", b"abc", b"abcd"])
    with pytest.raises(ProxyError, match="has no zstd view; it has: trie"):
        importing.import_folder(folder, tmp_path / "new", prefix=str(tmp_path / "data"), compressor="zstd")
    assert not (tmp_path / "new").exists()


def test_what_megatron_says_is_passed_on_and_nothing_is_left(tmp_path, monkeypatch):
    folder = exported(tmp_path / "hf")
    tiny_data.prepare(tmp_path / "data", [b"ab", b"abc", b"abcd"])
    monkeypatch.setattr(importing, "_CHILD", "json.tool")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ProxyError, match=r"(?s)Megatron did not write the checkpoint:.*Is a directory"):
        importing.import_folder(folder, tmp_path / "new", prefix=str(tmp_path / "data"), compressor="trie")
    assert sorted(tmp_path.iterdir()) == before


def test_a_writer_that_is_killed_is_told_with_what_it_needs(tmp_path, monkeypatch):
    folder = exported(tmp_path / "hf")
    tiny_data.prepare(tmp_path / "data", [b"ab", b"abc", b"abcd"])
    killed = tmp_path / "python"
    killed.write_text("#!/bin/sh\nkill -9 $$\n")
    killed.chmod(0o755)
    monkeypatch.setattr(importing.sys, "executable", str(killed))
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ProxyError, match=r"(?s)was ended by SIGKILL.*memory ran out"):
        importing.import_folder(folder, tmp_path / "new", prefix=str(tmp_path / "data"), compressor="trie")
    assert sorted(tmp_path.iterdir()) == before


def test_files_that_do_not_fit_together(tmp_path):
    folder = exported(tmp_path / "hf", shard_bytes=20_000)
    index = folder / "model.safetensors.index.json"
    content = json.loads(index.read_text())
    content["weight_map"]["model.more.weight"] = content["weight_map"]["model.norm.weight"]
    index.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=r"half-written: the index promises 'model\.more\.weight', and it is not"):
        HfFolder(folder)
    (folder / "config.json").write_text("[]")
    with pytest.raises(CheckpointError, match=r"config\.json: holds no JSON object"):
        HfFolder(folder)


def test_a_dtype_that_is_not_trained_in(tmp_path):
    found = HfFolder(exported(tmp_path / "hf"))
    with pytest.raises(ConfigurationError, match=r"^--dtype: Megatron does not train in torch\.float64\n.*float32$"):
        importing._dtype_flags(found, torch.float64)
