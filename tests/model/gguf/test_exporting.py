"""GGUF files, read back by the package gguf; what llama.cpp makes of them is in test_llama_cpp.py."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import random_model  # noqa: E402

from megatron_proxy import cli  # noqa: E402
from megatron_proxy.errors import ConfigurationError, UnsupportedError  # noqa: E402
from megatron_proxy.model import gguf as ours  # noqa: E402
from megatron_proxy.model.gguf.exporting import modelfile  # noqa: E402
from megatron_proxy.model.gguf.tensors import reordered, rope_factors  # noqa: E402
from megatron_proxy.model.gguf.tokens import tokens  # noqa: E402
from megatron_proxy.model.hf import families  # noqa: E402
from megatron_proxy.model.hf.hf_weights import HfWeights  # noqa: E402
from megatron_proxy.model.hf.views import raw_view  # noqa: E402
from megatron_proxy.model.network.architecture import Rope  # noqa: E402


def test_every_byte_is_a_token_and_the_space_a_plain_one():
    listed = list(tokens().items())
    assert len(listed) == 320
    assert [text for text, _ in listed[:4]] == ["<pad>", "<bos>", "<eos>", "<unk>"]
    assert (listed[12][0], listed[13][0]) == ("<raw>", "</raw>")
    assert {kind for _, kind in listed[:64]} == {"CONTROL"}
    assert listed[64] == ("<0x00>", "BYTE")
    assert listed[64 + 0xFF] == ("<0xFF>", "BYTE")
    assert listed[64 + 0x20] == ("▁", "NORMAL")
    assert [id_ for id_, (_, kind) in enumerate(listed) if kind == "NORMAL"] == [64 + 0x20]


def test_rows_of_queries_and_keys_are_interleaved():
    shape = replace(random_model.LLAMA, heads=2, groups=1, head_dim=6)
    rows = torch.arange(12)
    layer = "model.layers.0.self_attn"
    assert reordered(f"{layer}.q_proj.weight", rows, shape).tolist() == [0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11]
    assert reordered(f"{layer}.k_proj.bias", rows[:6], shape).tolist() == [0, 3, 1, 4, 2, 5]
    for other in (f"{layer}.v_proj.weight", f"{layer}.o_proj.weight", "lm_head.weight"):
        assert reordered(other, rows, shape) is rows


def test_stretched_positions_come_as_factors():
    assert rope_factors(random_model.LLAMA) is None
    factors = rope_factors(replace(random_model.LLAMA, rope=Rope(8, 500000.0, stretch=8.0)))
    # Wavelengths 2 pi, 167, 4443 and 118143: those below 2048 stay, those above 8192 are stretched by 8.
    assert factors[[0, 1, 3]].tolist() == [1.0, 1.0, 8.0]
    assert factors[2].item() == pytest.approx(
        1 / ((8192 / 4442.88 - 1) / 3 + (1 - (8192 / 4442.88 - 1) / 3) / 8), rel=1e-4
    )


def test_the_modelfile_takes_the_prompt_as_it_is():
    assert modelfile(512) == 'FROM ./model.gguf\nTEMPLATE "{{ .Prompt }}"\nPARAMETER num_ctx 512\n'


def test_without_the_package_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "gguf", None)
    with pytest.raises(ConfigurationError, match="--format gguf: the package gguf is not installed"):
        ours.export(random_model.checkpoint(), tmp_path / "g")


@pytest.fixture
def gguf():
    return pytest.importorskip("gguf")


@pytest.mark.long
@pytest.mark.parametrize("mode", ["sentinel", "vanilla"])
def test_the_file_says_what_the_model_is(gguf, tmp_path, mode):
    ours.export(random_model.checkpoint(proxy_mode=mode), tmp_path / "g", dtype=torch.float32)
    reader = gguf.GGUFReader(tmp_path / "g" / "model.gguf")
    found = {name: field.contents() for name, field in reader.fields.items()}
    bos, eos = (12, 13) if mode == "sentinel" else (2, 2)
    assert found["general.architecture"] == found["tokenizer.ggml.model"] == "llama"
    assert (found["tokenizer.ggml.bos_token_id"], found["tokenizer.ggml.eos_token_id"]) == (bos, eos)
    assert (found["tokenizer.ggml.eot_token_id"], found["tokenizer.ggml.padding_token_id"]) == (2, 0)
    assert found["tokenizer.ggml.add_bos_token"] is True
    assert found["tokenizer.ggml.add_space_prefix"] is False
    assert found["tokenizer.ggml.token_type"] == [3] * 64 + [6] * 32 + [1] + [6] * 223
    assert found["llama.context_length"] == 32
    assert found["llama.attention.head_count_kv"] == 2
    assert found["llama.rope.freq_base"] == 10000.0
    assert (tmp_path / "g" / "Modelfile").read_text() == modelfile(32)
    parts = ("attn_norm", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_norm", "ffn_gate", "ffn_up", "ffn_down")
    layers = [f"blk.{number}.{part}.weight" for number in range(random_model.LLAMA.layers) for part in parts]
    names = ["token_embd.weight", *layers, "output_norm.weight", "output.weight"]
    assert [tensor.name for tensor in reader.tensors] == names


SHAPES = {
    "plain": random_model.LLAMA,
    "tied": replace(random_model.LLAMA, tied=True),
    "biases and formats": replace(random_model.LLAMA, linear_bias=True, qkv_bias=True, formats=True),
    "biases of queries, keys and values": replace(random_model.LLAMA, qkv_bias=True),
    "llama 3 positions": replace(random_model.LLAMA, rope=Rope(8, 500000.0, stretch=8.0)),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_weights_come_back_as_they_were(gguf, tmp_path, shape, dtype):
    made = random_model.checkpoint(shape)
    ours.export(made, tmp_path / "g", dtype=dtype)
    reader = gguf.GGUFReader(tmp_path / "g" / "model.gguf")
    weights = HfWeights(made.tensors, shape, families.of_shape(shape), raw_view(True), torch.float32)
    factors = ["rope_freqs.weight"] if shape.rope.stretch else []
    found = reader.tensors[len(factors) :]
    assert [tensor.name for tensor in reader.tensors[: len(factors)]] == factors
    for (name, tensor), there in zip(weights, found, strict=True):
        stored = gguf.dequantize(there.data, there.tensor_type)
        rounded = tensor if tensor.ndim == 1 else tensor.to(dtype).float()
        wanted = reordered(name, rounded, shape).numpy()
        np.testing.assert_array_equal(stored.reshape(wanted.shape), wanted, err_msg=name)
        kind = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}[dtype]
        assert there.tensor_type.name == ("F32" if tensor.ndim == 1 else kind)


def test_the_command(gguf, tmp_path, monkeypatch, capsys):
    made, folder = random_model.checkpoint(), tmp_path / "g"
    monkeypatch.setattr("megatron_proxy.model.checkpoint.open_checkpoint", lambda folder, iteration: made)
    assert cli.main(["export", "--load", "c", "--output", str(folder), "--format", "gguf", "--dtype", "float16"]) == 0
    assert f"wrote {folder}: llama-cli -m {folder / 'model.gguf'}" in capsys.readouterr().out
    assert sorted(path.name for path in folder.iterdir()) == ["Modelfile", "model.gguf"]


def test_what_llama_cannot_express_is_refused(gguf, tmp_path):
    for flag, lacking in (("--qk-layernorm", {"qk_norm": True}), ("--window-size", {"window": 8})):
        with pytest.raises(UnsupportedError, match=f"{flag}: the model was trained so, and the Llama of llama.cpp"):
            ours.export(random_model.checkpoint(replace(random_model.LLAMA, **lacking)), tmp_path / "g")
    (tmp_path / "there").mkdir()
    with pytest.raises(ConfigurationError, match="exists already"):
        ours.export(random_model.checkpoint(), tmp_path / "there")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["there"]
