"""Every architecture there and back: transformers' logits, ours after import, and transformers' after export again."""

import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

import random_model  # noqa: E402
import token_models  # noqa: E402

from megatron_proxy import cli  # noqa: E402
from megatron_proxy.errors import UnsupportedError  # noqa: E402
from megatron_proxy.model.checkpoint import Checkpoint, open_checkpoint  # noqa: E402
from megatron_proxy.model.hf import export, families, importing  # noqa: E402
from megatron_proxy.model.hf.folder import HfFolder  # noqa: E402
from megatron_proxy.model.hf.megatron_weights import MegatronWeights  # noqa: E402
from megatron_proxy.model.hf.rows import Bytes, Drawing  # noqa: E402
from megatron_proxy.model.hf.shape import megatron_flags  # noqa: E402
from megatron_proxy.model.hf.views import token_view  # noqa: E402
from megatron_proxy.model.network import Architecture, ByteModel  # noqa: E402
from megatron_proxy.vocab import RAW_OPEN, SYMBOL_OFFSET  # noqa: E402

HELPERS = Path(__file__).parents[2] / "helpers"
# What transformers calls a model that has no windows.
EXPORTED = {"Mistral without windows": "LlamaForCausalLM"}


@dataclass
class Imported:
    """What Megatron's model would be filled with, by Megatron's names."""

    weights: MegatronWeights

    @property
    def shapes(self):
        return random_model.tensors(self.weights.shape).shapes

    def read(self, name):
        return self.weights.read(name)


def imported(folder: Path, prefix: Path, tokens: Bytes = Bytes.TOKENS) -> MegatronWeights:
    found = HfFolder(folder)
    rows = importing.rows_of(found, str(prefix), "hf", tokens)
    return MegatronWeights(found, importing.shape_of(found), rows.known + 12, rows, Drawing(1, 0.02))


def checkpoint(weights: MegatronWeights, mode: str = "sentinel") -> Checkpoint:
    shape = replace(weights.shape, vocabulary=weights.vocabulary)
    return random_model.checkpoint(shape, Imported(weights), None, proxy_compression="hf", proxy_mode=mode)


def load(folder: Path):
    return transformers.AutoModelForCausalLM.from_pretrained(folder)


def some_tokens(count: int) -> torch.Tensor:
    return torch.randint(2, count, (2, 24), generator=torch.Generator().manual_seed(0))


@pytest.mark.long
@pytest.mark.parametrize("kind", token_models.MODELS)
def test_logits_over_tokens_are_transformers_there_and_back(kind, tmp_path):
    folder = token_models.write(tmp_path / "hf", kind)
    compressor = token_models.prepare(tmp_path / "data", folder)
    original = load(folder)
    ids = some_tokens(compressor.num_symbols)
    with torch.inference_mode():
        expected = original(ids).logits
    assert expected.std() > 0.3
    weights = imported(folder, tmp_path / "data")
    made = checkpoint(weights)
    ours = ByteModel(Architecture.from_args(made.args), made.tensors).logits(ids + SYMBOL_OFFSET)
    assert (ours[..., SYMBOL_OFFSET : weights.rows.known] - expected).abs().max() < 1e-4
    # The tokens again.
    view = token_view(folder, compressor, sentinels=True)
    export(made, tmp_path / "tokens", view=view)
    again = load(tmp_path / "tokens")
    assert type(again).__name__ == EXPORTED.get(kind, type(original).__name__)
    assert again.config.tie_word_embeddings == original.config.tie_word_embeddings
    assert again.num_parameters() == original.num_parameters()
    with torch.inference_mode():
        assert (again(ids).logits - expected).abs().max() < 1e-4
    # And bytes alone.
    export(made, tmp_path / "raw")
    raw, bytes_ = load(tmp_path / "raw"), torch.tensor([[RAW_OPEN, *(64 + byte for byte in b"return width")]])
    assert type(raw).__name__ == type(again).__name__
    ours = ByteModel(Architecture.from_args(made.args), made.tensors).logits(bytes_)[..., :320]
    with torch.inference_mode():
        assert (raw(bytes_).logits - ours).abs().max() < 1e-4


@pytest.fixture
def forked_writer(training, monkeypatch):
    """The process that writes a checkpoint has Megatron loaded; tests/model/hf/test_importing.py starts it anew."""

    def run(command, *, env, **how):
        own = {name: value for name, value in env.items() if name != "PYTHONPATH"}
        done = training.python(*command[1:], code=None, **own)
        return subprocess.CompletedProcess(command, done.code, stdout="", stderr=done.log)

    monkeypatch.setattr(importing, "subprocess", SimpleNamespace(run=run))


@pytest.mark.usefixtures("forked_writer")
@pytest.mark.parametrize("kind", ["Llama 3.2", "Qwen 2, tied", "Qwen 3", "Mistral"])
def test_megatron_loads_what_was_imported_and_gives_these_logits(kind, training, tmp_path, monkeypatch, capsys):
    """Its own model and loading: positions, windows, biases and norms mean there what they mean in transformers."""
    folder = token_models.write(tmp_path / "hf", kind)
    compressor = token_models.prepare(tmp_path / "data", folder)
    command = ["import", "--load", str(folder), "--as-proxy", "--prefix", str(tmp_path / "data")]
    assert cli.main([*command, "--output", str(tmp_path / "ckpt")]) == 0
    told = capsys.readouterr().out
    assert "of the view's" in told
    assert "with new rows for bytes and sentinels; train on with" in told
    ids = some_tokens(compressor.num_symbols)
    torch.save(ids + SYMBOL_OFFSET, tmp_path / "ids.pt")
    monkeypatch.setenv("IDS", str(tmp_path / "ids.pt"))
    monkeypatch.setenv("OUTPUT", str(tmp_path / "logits.pt"))
    # What import prints is what Megatron is run with.
    printed = told.split("pretrain_gpt.py ")[1].replace("…", "")
    flags = f"{printed} --micro-batch-size 1 --train-iters 1 --lr 1e-3 --no-load-optim --no-load-rng"
    training.train(flags, script=HELPERS / "megatron_logits.py", cwd=tmp_path)
    with torch.inference_mode():
        expected = load(folder)(ids).logits
    found = torch.load(tmp_path / "logits.pt", weights_only=True)[..., SYMBOL_OFFSET:][..., : expected.shape[-1]]
    assert (found - expected).abs().max() < 1e-4
    made = open_checkpoint(tmp_path / "ckpt")
    ours = ByteModel(Architecture.from_args(made.args), made.tensors).logits(ids + SYMBOL_OFFSET)
    assert (ours[..., SYMBOL_OFFSET:][..., : expected.shape[-1]] - expected).abs().max() < 1e-4
    # Both ways, by the commands alone.
    export_ = ["export", "--load", str(tmp_path / "ckpt"), "--output", str(tmp_path / "tokens")]
    view = ["--view", "compressed", "--original", str(folder), "--data-prefix", str(tmp_path / "data")]
    assert cli.main([*export_, *view]) == 0
    with torch.inference_mode():
        assert (load(tmp_path / "tokens")(ids).logits - expected).abs().max() < 1e-4
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "tokens")
    assert tokenizer("return width", add_special_tokens=False).input_ids == [
        code - 256 for code in compressor.encode(b"return width")
    ]


def test_tokens_with_byte_fallback_share_the_ids_of_bytes(tmp_path):
    folder = token_models.write(tmp_path / "hf", "Llama 2", token_models.byte_fallback())
    compressor = token_models.prepare(tmp_path / "data", folder)
    text = "return 'é🙂'\n".encode()
    codes = compressor.encode(text)
    assert {10, 0xC3} < set(codes[codes < 256].tolist())
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(text.decode(), return_tensors="pt", add_special_tokens=False).input_ids
    with torch.inference_mode():
        expected = load(folder)(ids).logits[0]
    weights = imported(folder, tmp_path / "data")
    made = checkpoint(weights)
    ours = ByteModel(Architecture.from_args(made.args), made.tensors).logits(torch.tensor([codes.tolist()]) + 64)[0]
    assert len(ours) == len(expected)
    assert (ours[:, torch.from_numpy(weights.rows.tokens.ids)] - expected).abs().max() < 1e-4
    export(made, tmp_path / "tokens", view=token_view(folder, compressor, sentinels=True))
    with torch.inference_mode():
        assert (load(tmp_path / "tokens")(ids).logits[0] - expected).abs().max() < 1e-4


def test_flags_say_what_a_family_has():
    shape = replace(random_model.LLAMA, qk_norm=True, window=4096)
    flags = megatron_flags(shape)
    assert "--qk-layernorm" in flags
    assert flags[flags.index("--window-size") + 1] == "4095,0"
    assert not {"--qk-layernorm", "--window-size"} & set(megatron_flags(random_model.LLAMA))


@pytest.mark.parametrize(
    ("kind", "changes", "window"),
    [
        ("mistral", {}, 4096),
        ("mistral", {"sliding_window": None}, None),
        ("qwen2", {"sliding_window": 16}, None),
        ("qwen2", {"use_sliding_window": True, "sliding_window": 16}, None),
        ("qwen2", {"use_sliding_window": True, "sliding_window": 16, "max_window_layers": 0}, 16),
        ("qwen3", {"use_sliding_window": True, "sliding_window": 16, "layer_types": ["sliding_attention"] * 2}, 16),
        ("llama", {"sliding_window": 16}, None),
    ],
)
def test_windows_count_where_they_do_in_transformers(kind, changes, window):
    from megatron_proxy.model.hf.shape import architecture

    config = {
        **{"hidden_size": 32, "num_attention_heads": 8, "num_hidden_layers": 2, "intermediate_size": 48},
        **{"vocab_size": 99, "max_position_embeddings": 64, "num_key_value_heads": 8},
        **changes,
    }
    assert architecture(config, families.FAMILIES[kind], biases=False).window == window


def test_windows_in_some_layers_are_refused():
    from megatron_proxy.errors import CheckpointError
    from megatron_proxy.model.hf.shape import architecture

    config = {
        **{"hidden_size": 32, "num_attention_heads": 8, "num_hidden_layers": 2, "intermediate_size": 48},
        **{"vocab_size": 99, "max_position_embeddings": 64, "num_key_value_heads": 8, "use_sliding_window": True},
    }
    with pytest.raises(UnsupportedError, match=r"windows in some layers only are not supported"):
        architecture({**config, "max_window_layers": 1}, families.FAMILIES["qwen2"], biases=False)
    with pytest.raises(CheckpointError, match=r"max_window_layers is 'x', and no number of layers"):
        architecture({**config, "max_window_layers": "x"}, families.FAMILIES["qwen2"], biases=False)


def test_byte_rows_begin_as_asked(tmp_path):
    folder = token_models.write(tmp_path / "hf")
    token_models.prepare(tmp_path / "data", folder)
    table = load(folder).model.embed_tokens.weight.detach()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    words = "embedding.word_embeddings.weight"
    (r,) = tokenizer("r", add_special_tokens=False).input_ids
    begins = [
        token for token in range(len(table)) if tokenizer.decode([token], skip_special_tokens=True).startswith("r")
    ]
    assert len(begins) > 1
    by_tokens, by_mean, drawn = (imported(folder, tmp_path / "data", how).read(words) for how in Bytes)
    place = 64 + ord("r")
    assert torch.equal(by_tokens[place], table[r])
    torch.testing.assert_close(by_mean[place], table[begins].mean(0))
    assert drawn[64:320].std() == pytest.approx(0.02, rel=0.05)
    for made in (by_tokens, by_mean, drawn):
        assert torch.equal(made[320 : 320 + len(table)], table)
        # <compressed> and </compressed> are what opens and closes a text, <raw> is the mean of all.
        assert torch.equal(made[[14, 15, 2]], table[[0, 1, 1]])
        torch.testing.assert_close(made[RAW_OPEN], table.mean(0))
    assert np.isfinite(by_tokens.numpy()).all()


def test_a_token_that_opens_and_closes_texts_is_two_in_training(tmp_path, monkeypatch):
    """SmolLM's: untied on export once the two have come to differ, since one row cannot be both."""
    folder = token_models.write(tmp_path / "hf", "SmolLM")
    compressor = token_models.prepare(tmp_path / "data", folder)
    weights = imported(folder, tmp_path / "data")
    made, view = checkpoint(weights), token_view(folder, compressor, sentinels=True)
    trained = made.tensors.read

    def read(name):
        table = trained(name)
        if name == "embedding.word_embeddings.weight":
            table[14] += 1
            table[15] -= 1
        return table

    monkeypatch.setattr(made.tensors, "read", read)
    export(made, tmp_path / "tokens", view=view)
    again, before = load(tmp_path / "tokens"), load(folder)
    assert (before.config.tie_word_embeddings, again.config.tie_word_embeddings) == (True, False)
    table = before.model.embed_tokens.weight
    torch.testing.assert_close(again.model.embed_tokens.weight[0], table[0] + 1)
    torch.testing.assert_close(again.lm_head.weight[0], table[0] - 1)
    assert torch.equal(again.lm_head.weight[1:], table[1:])


def test_trained_without_sentinels_only_the_end_of_a_text_is_special(tmp_path, monkeypatch):
    folder = token_models.write(tmp_path / "hf")
    compressor = token_models.prepare(tmp_path / "data", folder)
    made = checkpoint(imported(folder, tmp_path / "data"), mode="vanilla")
    trained = made.tensors.read

    def read(name):
        table = trained(name)
        if name == "embedding.word_embeddings.weight":
            table[[14, 15]], table[2] = 9.0, 3.0
        return table

    monkeypatch.setattr(made.tensors, "read", read)
    export(made, tmp_path / "tokens", view=token_view(folder, compressor, sentinels=made.sentinels))
    again, before = load(tmp_path / "tokens").model.embed_tokens.weight, load(folder).model.embed_tokens.weight
    assert torch.equal(again[1], torch.full_like(again[1], 3.0))
    assert torch.equal(again[0], before[0])
