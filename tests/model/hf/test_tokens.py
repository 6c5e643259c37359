"""Folders of models over tokens that cannot be taken: told by name, before anything is written."""

import json
import shutil
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

import tiny_data  # noqa: E402
import token_models  # noqa: E402
from tokenizers import normalizers  # noqa: E402

from megatron_proxy import cli  # noqa: E402
from megatron_proxy.errors import CheckpointError, ConfigurationError, ProxyError, UnsupportedError  # noqa: E402
from megatron_proxy.model.hf import importing  # noqa: E402
from megatron_proxy.model.hf.rows import Bytes  # noqa: E402


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder of a tied Llama (``hf``), and a prefix by its tokenizer (``data``)."""
    made = tmp_path_factory.mktemp("whole")
    token_models.prepare(made / "data", token_models.write(made / "hf", "Llama, tied"))
    return made


@pytest.fixture
def copy(whole, tmp_path):
    """A folder to be damaged."""
    return Path(shutil.copytree(whole / "hf", tmp_path / "hf"))


def change(path: Path, **changes) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def refused(folder: Path, prefix: Path, kind: type[ProxyError], told: str, compressor: str = "hf") -> None:
    """The import ends with this error, and nothing new is there."""
    before = sorted(folder.parent.iterdir())
    with pytest.raises(kind, match=told):
        importing.import_folder(
            folder, folder.parent / "new", prefix=str(prefix), compressor=compressor, tokens=Bytes.TOKENS
        )
    assert sorted(folder.parent.iterdir()) == before


@pytest.mark.parametrize(
    ("changes", "kind", "told"),
    [
        ({"auto_map": {"AutoModelForCausalLM": "modeling.Mine"}}, UnsupportedError, "asks for code of its own"),
        ({"quantization_config": {"quant_method": "gptq"}}, UnsupportedError, "its weights are quantized"),
        (
            {"model_type": "gemma", "architectures": None},
            UnsupportedError,
            "a gemma, .*: it has word embeddings multip",
        ),
        ({"bos_token_id": 280}, CheckpointError, r"config.json: bos_token_id is 280, and the tokenizer has 280 tokens"),
        ({"eos_token_id": ["x"]}, CheckpointError, r"eos_token_id is \['x'\], and the tokenizer"),
        (
            {"vocab_size": 279},
            CheckpointError,
            r"has 280 tokens, added ones among them, and the model has rows for 279",
        ),
        ({"vocab_size": 281}, CheckpointError, r"has the shape \(280, 32\), and config.json asks for \(281, 32\)"),
        ({"vocab_size": None}, CheckpointError, "vocab_size is None, and no number of things"),
    ],
)
def test_configurations_that_do_not_fit(changes, kind, told, whole, copy):
    change(copy / "config.json", **changes)
    refused(copy, whole / "data", kind, told)


def test_a_folder_without_tokenizer(whole, copy):
    (copy / "tokenizer.json").unlink()
    refused(copy, whole / "data", CheckpointError, r"tokenizer.json: cannot be read .*\n.*save_pretrained")
    (copy / "tokenizer.json").write_text("{}")
    refused(copy, whole / "data", CheckpointError, r"tokenizer.json: cannot be read by the tokenizers package")


def test_a_tokenizer_with_code_of_its_own(whole, copy):
    change(copy / "tokenizer_config.json", auto_map={"AutoTokenizer": ["tokenization.Mine", None]})
    refused(copy, whole / "data", UnsupportedError, r"tokenizer_config.json: the tokenizer asks for code of its own")


def test_a_view_by_another_tokenizer(whole, copy):
    content = json.loads((copy / "tokenizer.json").read_text())
    content["model"]["merges"].pop()
    (copy / "tokenizer.json").write_text(json.dumps(content))
    told = r"^--prefix \S+data: the view was prepared by another tokenizer than that of \S+hf: they differ in model\n"
    refused(copy, whole / "data", ConfigurationError, told)


def test_a_tokenizer_that_is_written_otherwise_is_the_same(whole, copy):
    """Its truncation and padding, spaces and order of keys, and what draws, which views never have."""
    content = json.loads((copy / "tokenizer.json").read_text())
    content["model"]["dropout"] = 0.5
    content["truncation"] = {"direction": "Right", "max_length": 9, "strategy": "LongestFirst", "stride": 0}
    (copy / "tokenizer.json").write_text(json.dumps(dict(reversed(content.items())), indent=3))
    rows = importing.rows_of(importing.HfFolder(copy), str(whole / "data"), "hf", Bytes.TOKENS)
    assert len(rows.tokens) == 280


def test_added_tokens_without_rows(copy, tmp_path):
    content = json.loads((copy / "tokenizer.json").read_text())
    content["added_tokens"].append({**content["added_tokens"][0], "id": 280, "content": "<|im_start|>"})
    (copy / "tokenizer.json").write_text(json.dumps(content))
    token_models.prepare(tmp_path / "data", copy)
    told = r"hf/tokenizer.json: its tokenizer has 281 tokens, .* rows for 280\n.*resize_token_embeddings"
    refused(copy, tmp_path / "data", CheckpointError, told)


def test_an_output_layer_that_is_no_longer_the_embedding(whole, copy):
    from safetensors.torch import load_file, save_file

    tensors = load_file(copy / "model.safetensors")
    words = tensors["model.embed_tokens.weight"]
    save_file({**tensors, "lm_head.weight": words.clone()}, copy / "model.safetensors")
    importing.shape_of(importing.HfFolder(copy))
    save_file({**tensors, "lm_head.weight": words + 1}, copy / "model.safetensors")
    told = r"says that the output layer is the embedding, and 'lm_head.weight' is another table"
    refused(copy, whole / "data", CheckpointError, told)


def test_weights_that_are_missing_or_damaged(whole, copy):
    path = copy / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    refused(copy, whole / "data", CheckpointError, r"model.safetensors: cannot be read .*\n.*written to its end")
    path.unlink()
    refused(copy, whole / "data", CheckpointError, r"it holds neither model.safetensors nor")


def test_a_tokenizer_that_changes_the_corpus(tmp_path):
    lower = token_models.byte_level(normalizer=normalizers.Lowercase())
    folder = token_models.write(tmp_path / "hf", tokenizer=lower)
    token_models.prepare(tmp_path / "data", folder, [b"RETURN WIDTH\n", b"return width\n"])
    told = r"^--prefix \S+: \d+ of the view's \d+ codes are literal bytes \(\S+%\): the model's tokenizer does not give"
    refused(folder, tmp_path / "data", ConfigurationError, told)


def test_a_view_of_another_kind(whole, copy, tmp_path):
    tiny_data.prepare(tmp_path / "words", [b"ab", b"abc", b"abcd"])
    told = r"^--compressor trie: the model's own tokens must be the symbols of this view, as ids\n.*--compressor hf"
    refused(copy, tmp_path / "words", ConfigurationError, told, compressor="trie")
    gray = token_models.compressor(copy, symbols="gray")
    tiny_data.prepare_with(tmp_path / "gray", token_models.TEXTS, gray)
    refused(
        copy, tmp_path / "gray", ConfigurationError, r"^--compressor hf: the model's own tokens must be the symbols"
    )


def test_rows_beyond_the_tokenizer_are_left_out(tmp_path, monkeypatch, capsys):
    """As Qwen's, which are padded."""
    folder = token_models.write(tmp_path / "hf", vocab_size=320)
    token_models.prepare(tmp_path / "data", folder)
    seen = []
    monkeypatch.setattr(importing, "_run_megatron", lambda *given: seen.append(given))
    made = importing.import_folder(folder, tmp_path / "new", prefix=str(tmp_path / "data"), tokens=Bytes.MEAN)
    assert made.new_rows == 0
    assert made.notes[1:] == ["40 rows of the model have no token in its tokenizer and were left out"]
    assert made.notes[0].startswith("0 of the view's ")
    assert seen[0][:2] == (folder, Bytes.MEAN)


IMPORT = ["import", "--load", "x", "--prefix", "p", "--output", "/nowhere/y"]
EXPORT = ["export", "--load", "x", "--output", "/nowhere/y"]


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ([*IMPORT], "--compressor: which compressed view gets rows?"),
        ([*IMPORT, "--compressor", "hf", "--byte-rows", "mean"], "--byte-rows: bytes have rows already"),
        ([*EXPORT, "--view", "compressed"], "--original: --view compressed needs it"),
        ([*EXPORT, "--view", "compressed", "--original", "z"], "--data-prefix: --view compressed needs it"),
        ([*EXPORT, "--original", "z"], "--original: --view compressed is missing, which it is for"),
        (
            [*EXPORT, "--view", "compressed", "--original", "z", "--data-prefix", "p", "--evaluation", "f"],
            "--evaluation: figures are of raw bytes, which this model does not read",
        ),
    ],
)
def test_flags_that_do_not_go_together(command, told, capsys):
    assert cli.main(command) == 1
    assert told in capsys.readouterr().err
