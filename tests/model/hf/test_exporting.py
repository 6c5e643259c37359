"""Exported folders, read by transformers and by nothing of ours."""

import json
import weakref
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

import random_model  # noqa: E402

from megatron_proxy import cli  # noqa: E402
from megatron_proxy.errors import ConfigurationError, UnsupportedError  # noqa: E402
from megatron_proxy.model.checkpoint import open_checkpoint  # noqa: E402
from megatron_proxy.model.generation import Limits, generate  # noqa: E402
from megatron_proxy.model.hf import export, families  # noqa: E402
from megatron_proxy.model.hf.tokenizer import byte_characters  # noqa: E402
from megatron_proxy.model.network import Architecture, ByteModel  # noqa: E402
from megatron_proxy.model.network.architecture import Rope  # noqa: E402
from megatron_proxy.vocab import BYTE_OFFSET, EOS, RAW_OPEN  # noqa: E402

LLAMA = replace(random_model.LLAMA, rope=Rope(8, 5000.0))
KINDS = {
    "plain": LLAMA,
    "formats": replace(LLAMA, formats=True),
    "tied": replace(LLAMA, tied=True),
    "tied with formats": replace(LLAMA, tied=True, formats=True),
    "biases": replace(LLAMA, linear_bias=True, qkv_bias=True),
    "query biases": replace(LLAMA, qkv_bias=True, groups=1),
    "norms of queries and keys": replace(LLAMA, qk_norm=True, zero_centered_norm=True),
    "windows": replace(LLAMA, window=9),
    "windows and query biases": replace(LLAMA, qkv_bias=True, window=9),
    "zero-centred norms, llama 3 positions": replace(
        LLAMA, zero_centered_norm=True, groups=4, rope=Rope(8, 500000.0, stretch=8.0)
    ),
}
CLASSES = {
    "query biases": "Qwen2ForCausalLM",
    "norms of queries and keys": "Qwen3ForCausalLM",
    "windows": "MistralForCausalLM",
    "windows and query biases": "Qwen2ForCausalLM",
}
TEXT = "def f(x):\n\treturn 'é<raw></raw>😀'\x00\r\n"


def load(folder: Path):
    return transformers.AutoModelForCausalLM.from_pretrained(folder)


@pytest.mark.parametrize("kind", KINDS)
def test_logits_of_the_byte_rows_are_the_same(kind, tmp_path):
    shape, expected_class = KINDS[kind], CLASSES.get(kind, "LlamaForCausalLM")
    if not hasattr(transformers, expected_class):
        pytest.skip(f"this release of transformers has no {expected_class}")
    export(random_model.checkpoint(shape), tmp_path / "hf", dtype=torch.float32)
    exported = load(tmp_path / "hf")
    assert type(exported).__name__ == expected_class
    ids = torch.tensor([[RAW_OPEN, *(byte + BYTE_OFFSET for byte in bytes(range(0, 256, 9)))]])
    expected = ByteModel(shape, random_model.tensors(shape)).logits(ids)[..., :320]
    assert expected.std() > 0.5
    assert (exported(ids).logits - expected).abs().max() < 1e-4


def test_shards_hold_every_tensor_once(tmp_path):
    made = random_model.checkpoint(LLAMA)
    export(made, tmp_path / "one", dtype=torch.float32)
    export(made, tmp_path / "many", dtype=torch.float32, shard_bytes=8000)
    index = json.loads((tmp_path / "many" / "model.safetensors.index.json").read_text())
    files = sorted(path.name for path in (tmp_path / "many").glob("*.safetensors"))
    assert len(files) > 3
    assert sorted(set(index["weight_map"].values())) == files
    assert files[0] == f"model-00001-of-{len(files):05d}.safetensors"
    one, many = load(tmp_path / "one").state_dict(), load(tmp_path / "many").state_dict()
    assert sorted(one) == sorted(many)
    assert all(torch.equal(one[name], many[name]) for name in one)


def test_no_more_than_a_tensor_and_a_shard_are_held(tmp_path, monkeypatch):
    made = random_model.checkpoint(replace(LLAMA, layers=6))
    made_so_far, alive, read = [], [], made.tensors.read

    def watched(name):
        alive.append(sum(reference() is not None for reference in made_so_far))
        tensor = read(name)
        made_so_far.append(weakref.ref(tensor))
        return tensor

    monkeypatch.setattr(made.tensors, "read", watched)
    export(made, tmp_path / "hf", dtype=torch.float32, shard_bytes=20_000)
    assert len(alive) == 6 * 6 + 3
    assert max(alive) == 1
    largest = 320 * 24 * 4
    sizes = [path.stat().st_size for path in (tmp_path / "hf").glob("*.safetensors")]
    assert max(sizes) < largest + 2000
    assert len(sizes) > 4


def test_the_tokenizer_makes_bytes_behind_the_sentinel(tmp_path):
    export(random_model.checkpoint(LLAMA), tmp_path / "hf")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "hf")
    ids = tokenizer(TEXT).input_ids
    assert ids == [RAW_OPEN, *(byte + BYTE_OFFSET for byte in TEXT.encode())]
    assert tokenizer.decode(ids, skip_special_tokens=True) == TEXT
    assert tokenizer(TEXT, add_special_tokens=False).input_ids == ids[1:]
    assert set(tokenizer(TEXT)) == {"input_ids", "attention_mask"}
    assert tokenizer.convert_tokens_to_ids(["<pad>", "<eos>", "<raw>", "</raw>"]) == [0, 2, 12, 13]
    assert len(tokenizer) == 320


def test_prompts_in_a_batch_are_continued_as_each_alone(tmp_path):
    export(random_model.checkpoint(LLAMA), tmp_path / "hf", dtype=torch.float32)
    model, tokenizer = load(tmp_path / "hf"), transformers.AutoTokenizer.from_pretrained(tmp_path / "hf")
    prompts = ["def f(", "x", "naïve 😀"]

    def written(texts: list[str]) -> list[str]:
        batch = tokenizer(texts, return_tensors="pt", padding=True)
        return tokenizer.batch_decode(model.generate(**batch, max_new_tokens=8), skip_special_tokens=True)

    assert written(prompts) == [text for prompt in prompts for text in written([prompt])]


def test_every_byte_and_special_goes_there_and_back(tmp_path):
    export(random_model.checkpoint(LLAMA), tmp_path / "hf")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "hf")
    text = "".join(map(chr, range(0x300))) + "😀 a , b . <pad>\r\n"
    assert tokenizer.decode(tokenizer(text).input_ids, skip_special_tokens=True) == text
    assert tokenizer.decode(range(64), skip_special_tokens=True) == ""
    assert tokenizer.convert_tokens_to_ids(tokenizer.convert_ids_to_tokens(range(320))) == list(range(320))


def test_without_sentinels_a_text_follows_an_eos(tmp_path):
    export(random_model.checkpoint(LLAMA, proxy_mode="vanilla"), tmp_path / "hf")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "hf")
    assert tokenizer("ab").input_ids == [EOS, 97 + BYTE_OFFSET, 98 + BYTE_OFFSET]
    assert json.loads((tmp_path / "hf" / "config.json").read_text())["eos_token_id"] == EOS


def test_byte_characters_are_those_of_all_byte_level_tokenizers():
    characters = byte_characters()
    assert len(set(characters)) == 256
    assert (characters[0x41], characters[0x20], characters[0x0A], characters[0xAD], characters[0xFF]) == tuple("AĠĊŃÿ")


def test_what_is_there_is_not_replaced_unless_told(tmp_path):
    made = random_model.checkpoint(LLAMA)
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf" / "mine.txt").write_text("x")
    with pytest.raises(ConfigurationError, match="exists already"):
        export(made, tmp_path / "hf")
    assert (tmp_path / "hf" / "mine.txt").exists()
    export(made, tmp_path / "hf", overwrite=True)
    assert (tmp_path / "hf" / "config.json").exists()


def test_an_export_that_fails_leaves_nothing(tmp_path, monkeypatch):
    made = random_model.checkpoint(LLAMA)
    monkeypatch.setattr(made.tensors, "read", lambda name: 1 / 0 if "linear_fc2" in name else torch.zeros(9, 9))
    with pytest.raises(Exception):  # noqa: B017, PT011 - whatever goes wrong
        export(made, tmp_path / "hf", dtype=torch.float32)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "flag"),
    [
        ({"norm": "LayerNorm"}, "--normalization LayerNorm"),
        ({"rope": None, "learned_positions": True}, "--position-embedding-type"),
        ({"rope": Rope(4, 1e4)}, "--rotary-percent"),
        ({"rope": Rope(8, 1e4, interleaved=True)}, "--rotary-interleaved"),
        ({"gated": False, "activation": "gelu"}, r"--swiglu \(missing\)"),
    ],
)
def test_what_transformers_cannot_express_is_refused_by_name(changes, flag):
    with pytest.raises(
        UnsupportedError, match=f"{flag}: the model was trained so, and no architecture of transformers"
    ):
        families.of_shape(replace(LLAMA, **changes))


def test_what_no_architecture_has_together_is_refused_by_name():
    shape = replace(LLAMA, qk_norm=True, qkv_bias=True, window=9)
    told = "--qk-layernorm, --add-qkv-bias, --window-size: no architecture of transformers that is known here has all"
    with pytest.raises(UnsupportedError, match=told):
        families.of_shape(shape)


def test_a_checkpoint_of_two_ranks_becomes_a_model_that_writes_the_same(trained, tmp_path, capsys):
    folder = tmp_path / "hf"
    assert cli.main(["export", "--load", str(trained.folder), "--output", str(folder), "--max-shard-size", "20KB"]) == 0
    assert f"wrote {folder}" in capsys.readouterr().out
    exported, tokenizer = load(folder), transformers.AutoTokenizer.from_pretrained(folder)
    opened = open_checkpoint(trained.folder)
    model = ByteModel(Architecture.from_args(opened.args), opened.tensors)
    ids = tokenizer("return value", return_tensors="pt").input_ids
    assert (exported(ids).logits - model.logits(ids)[..., :320]).abs().max() < 1e-4
    written = exported.generate(ids, max_new_tokens=20, do_sample=False)[0, ids.shape[1] :]
    (done,) = generate(model, [b"return value"], Limits(max_bytes=20, valid_utf8=False))
    assert bytes(int(id_) - 64 for id_ in written if id_ >= 64) == done.text


def test_bpb_of_the_exported_model_is_that_of_evaluate(trained, tmp_path):
    held_out = tmp_path / "held.jsonl"
    text = "while value in range"
    held_out.write_text(json.dumps({"text": text}) + "\n")
    assert cli.main(["export", "--load", str(trained.folder), "--output", str(tmp_path / "hf")]) == 0
    command = ["evaluate", "--load", str(trained.folder), "--input", str(held_out)]
    assert cli.main([*command, "--output", str(tmp_path / "bpb.json")]) == 0
    ids = transformers.AutoTokenizer.from_pretrained(tmp_path / "hf")(text, return_tensors="pt").input_ids
    loss = load(tmp_path / "hf")(ids, labels=ids).loss.item()
    found = json.loads((tmp_path / "bpb.json").read_text())["bpb_of_bytes_alone"]
    assert found == pytest.approx(loss / 0.6931471805599453, abs=1e-4)


def test_sizes_that_make_no_sense(capsys):
    assert cli.main(["export", "--load", "x", "--output", "/nowhere/y", "--max-shard-size", "big"]) == 1
    assert "'big' is not a size" in capsys.readouterr().err
