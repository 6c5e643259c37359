"""The compact transformer: what it computes with a cache is what it computes without.

That it computes what Megatron computes is tested in tests/model/checkpoint/test_checkpoint.py.
"""

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

import random_model  # noqa: E402

from megatron_proxy.adaptor.measures.formats import opened_format  # noqa: E402
from megatron_proxy.errors import CheckpointError, UnsupportedError  # noqa: E402
from megatron_proxy.model.network import Architecture, ByteModel  # noqa: E402
from megatron_proxy.model.network.architecture import Rope  # noqa: E402
from megatron_proxy.model.network.transformer import _formats  # noqa: E402
from megatron_proxy.vocab import COMPRESSED_OPEN, EOS, RAW_CLOSE, RAW_OPEN  # noqa: E402

LLAMA = random_model.LLAMA
KINDS = {
    "llama": LLAMA,
    "formats": replace(LLAMA, formats=True),
    "interleaved half": replace(LLAMA, rope=Rope(4, 500.0, interleaved=True), qk_norm=True),
    "llama 3": replace(LLAMA, rope=Rope(8, 500000.0, stretch=8.0), qkv_bias=True, zero_centered_norm=True),
    "gpt": replace(
        LLAMA,
        norm="LayerNorm",
        activation="gelu",
        gated=False,
        linear_bias=True,
        qkv_bias=True,
        tied=True,
        rope=None,
        learned_positions=True,
        groups=4,
    ),
    "windows": replace(LLAMA, window=6),
    "no positions": replace(LLAMA, rope=None, activation="squared_relu", gated=False),
}


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def model(request):
    return random_model.model(request.param)


@pytest.fixture
def ids():
    generator = torch.Generator().manual_seed(1)
    drawn = torch.randint(64, 330, (3, 24), generator=generator)
    drawn[:, 0] = torch.tensor([RAW_OPEN, EOS, COMPRESSED_OPEN])
    drawn[0, 9:12] = torch.tensor([RAW_CLOSE, EOS, COMPRESSED_OPEN])
    return drawn


def test_one_id_at_a_time_gives_the_same_logits(model, ids):
    expected = model.logits(ids)
    cache = model.cache(3, 24)
    steps = torch.cat([model.extend(ids[:, place : place + 1], cache) for place in range(24)], dim=1)
    torch.testing.assert_close(steps, expected, atol=1e-11, rtol=0)


def test_pieces_of_any_size_give_the_same_logits(model, ids):
    expected = model.logits(ids)
    cache = model.cache(3, 24)
    for begin, end in ((0, 7), (7, 8), (8, 20), (20, 24)):
        found = model.extend(ids[:, begin:end], cache)[:, 0]
        torch.testing.assert_close(found, expected[:, end - 1], atol=1e-11, rtol=0)


def test_rows_of_different_lengths_share_a_cache(model, ids):
    expected = model.logits(ids)
    lengths = torch.tensor([3, 17, 9])
    cache = model.cache(3, 24)
    rows = torch.arange(3)
    padded = torch.where(torch.arange(24) < lengths[:, None], ids, 0)
    found = model.extend(padded[:, :17], cache, lengths)[:, 0]
    torch.testing.assert_close(found, expected[rows, lengths - 1], atol=1e-11, rtol=0)
    for step in range(4):
        found = model.extend(ids[rows, lengths + step][:, None], cache)[:, 0]
        torch.testing.assert_close(found, expected[rows, lengths + step], atol=1e-11, rtol=0)
    # Rows can be dropped, and several ids read at once by rows of different lengths.
    cache.keep(torch.tensor([2, 0]))
    more = torch.stack([ids[2, 13:16], ids[0, 7:10]])
    found = model.extend(more, cache)[:, 0]
    torch.testing.assert_close(found, expected[[2, 0], [15, 9]], atol=1e-11, rtol=0)


def test_scores_are_those_of_the_logits(model, ids, monkeypatch):
    from megatron_proxy.model.network import transformer

    monkeypatch.setattr(transformer, "_LOGITS_AT_ONCE", {"cpu": 5 * 330})
    scores = model.scores(ids[:, :-1], ids[:, 1:])
    logits = model.logits(ids[:, :-1]).double()
    expected = torch.nn.functional.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")
    torch.testing.assert_close(scores.nats, expected, atol=1e-4, rtol=0)
    is_byte = ids[:, 1:] < 320
    alone = torch.log_softmax(logits[..., :320], dim=-1).gather(2, ids[:, 1:, None].clamp(max=319))[..., 0]
    torch.testing.assert_close(scores.byte_nats[is_byte], -alone[is_byte], atol=1e-4, rtol=0)
    assert torch.equal(scores.correct, (logits.argmax(-1) == ids[:, 1:]).double())


def test_scores_are_zero_where_nothing_counts(model, ids):
    counts = torch.zeros(ids[:, 1:].shape, dtype=torch.bool)
    counts[1, 2:5] = counts[2, 0] = True
    everywhere, some = model.scores(ids[:, :-1], ids[:, 1:]), model.scores(ids[:, :-1], ids[:, 1:], counts)
    for whole, part in zip(everywhere, some, strict=True):
        torch.testing.assert_close(part, torch.where(counts, whole, 0.0), atol=1e-5, rtol=0)
    assert all(torch.equal(part, torch.zeros_like(part)) for part in model.scores(ids, ids, torch.zeros_like(ids) > 0))


def test_formats_are_those_of_training(ids):
    torch.testing.assert_close(_formats(ids, torch.zeros(3, dtype=torch.int64)), opened_format(ids))


def test_a_missing_tensor_is_told():
    tensors = random_model.tensors(LLAMA)
    del tensors.shapes["decoder.layers.1.mlp.linear_fc2.weight"]
    with pytest.raises(CheckpointError, match=r"no tensor 'decoder.layers.1.mlp.linear_fc2.weight'"):
        ByteModel(LLAMA, tensors)


def test_architecture_from_megatrons_arguments():
    for shape in KINDS.values():
        assert Architecture.from_args(random_model.args(shape, max_position_embeddings=64)) == shape
    fused = {"swiglu": False, "add_bias_linear": True, "bias_gelu_fusion": True, "rotary_percent": 0.5}
    found = Architecture.from_args(random_model.args(**fused, proxy_format_embedding=True))
    assert (found.activation, found.gated, found.qkv_bias, found.formats) == ("gelu_tanh", False, True, True)
    assert found.rope == Rope(4, 10000.0)


def test_windows_are_those_that_every_layer_has():
    """Megatron's pair counts the ids before a position, ours that one too."""
    assert Architecture.from_args(random_model.args(window_size=(15, 0))) == replace(LLAMA, window=16)
    assert Architecture.from_args(random_model.args(window_size=(-1, 0))).window is None
    with pytest.raises(UnsupportedError, match="--window-attn-skip-freq: the model was trained with this flag"):
        Architecture.from_args(random_model.args(window_size=(15, 0), window_attn_skip_freq=2))


def test_a_window_hides_what_is_further_back(ids):
    """In one layer, the last id's logits depend on as many ids as the window holds, and on no other."""
    model = random_model.model(replace(LLAMA, layers=1, window=6))
    before = model.logits(ids)[:, -1]
    for back in range(1, 24):
        changed = ids.clone()
        changed[:, -back] = torch.where(changed[:, -back] == 70, 71, 70)
        assert torch.equal(model.logits(changed)[:, -1], before) == (back > 6), back


@pytest.mark.parametrize(
    ("name", "value", "flag"),
    [
        ("num_experts", 4, "--num-experts"),
        ("position_embedding_type", "yarn", "--position-embedding-type"),
        ("normalization", "L2Norm", "--normalization"),
        ("window_size", (16, 4), "--window-size"),
        ("softmax_type", "learnable", "--softmax-type"),
        ("multi_latent_attention", True, "--multi-latent-attention"),
    ],
)
def test_other_architectures_are_refused_by_name(name, value, flag):
    with pytest.raises(UnsupportedError, match=f"{flag}: the model was trained with this flag"):
        Architecture.from_args(random_model.args(**{name: value}))
