"""The format embedding on a small stand-in for Megatron's embedding; real training is in test_training.py."""

import argparse

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("megatron.core", reason="megatron-core is not installed")

from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from megatron_proxy.adaptor import embedding  # noqa: E402
from megatron_proxy.vocab import BYTE_OFFSET, COMPRESSED_CLOSE, COMPRESSED_OPEN, EOS, RAW_CLOSE, RAW_OPEN, SYMBOL_OFFSET  # noqa: E402

B, S = BYTE_OFFSET, SYMBOL_OFFSET
IDS = torch.tensor([[EOS, RAW_OPEN, B, RAW_CLOSE, COMPRESSED_OPEN, B, S, COMPRESSED_CLOSE]])


class Stock(torch.nn.Module):
    """What the subclass relies on in Megatron's LanguageModelEmbedding.

    With a ``rank`` this is one of two tensor-parallel ranks under sequence parallelism.
    """

    def __init__(self, hidden=4, rank=None, mtp_num_layers=None):
        super().__init__()
        self.config = argparse.Namespace(mtp_num_layers=mtp_num_layers)
        self.word_embeddings = torch.nn.Embedding(S + 1, hidden)
        self.tokentype_embeddings = None
        self.num_tokentypes = 0
        self.reduce_scatter_embeddings = rank is not None
        self.tp_group = argparse.Namespace(size=lambda: 2, rank=lambda: rank)

    def forward(self, input_ids, position_ids, tokentype_ids=None):
        words = self.word_embeddings(input_ids)
        if self.reduce_scatter_embeddings:
            words = words.chunk(2, dim=1)[self.tp_group.rank()]
        words = words.transpose(0, 1).contiguous()
        if tokentype_ids is None:
            return words
        return words + self.tokentype_embeddings(tokentype_ids).permute(1, 0, 2)


@pytest.fixture
def pair():
    """The stock embedding and the one with formats, from one seed."""
    made = []
    for kind in (Stock, embedding.with_formats(Stock)):
        torch.manual_seed(1)
        made.append(kind())
        made.append(torch.rand(1))
    stock, after_stock, formatted, after_formatted = made
    assert torch.equal(after_stock, after_formatted)
    return stock, formatted


def test_it_begins_as_the_stock_embedding_and_draws_no_random_numbers(pair):
    stock, formatted = pair
    assert torch.equal(stock(IDS, None), formatted(IDS, None))


def test_each_id_gets_the_vector_of_its_format(pair):
    stock, formatted = pair
    with torch.no_grad():
        formatted.tokentype_embeddings.weight[1:] += torch.tensor([[1.0], [2.0]])
    added = (formatted(IDS, None) - stock(IDS, None))[:, 0, 0]
    assert added.tolist() == pytest.approx([0, 1, 1, 0, 2, 2, 2, 0], abs=1e-6)


def test_what_is_outside_a_view_is_never_trained(pair):
    _, formatted = pair
    formatted(IDS, None).sum().backward()
    assert formatted.tokentype_embeddings.weight.grad[:, 0].tolist() == [0, 2, 3]


def test_a_shifted_window_keeps_the_formats_that_its_lost_special_told():
    shifted = embedding.with_formats(Stock)(mtp_num_layers=1)
    with torch.no_grad():
        shifted.word_embeddings.weight.zero_()
        shifted.tokentype_embeddings.weight[1:] += torch.tensor([[1.0], [2.0]])
    assert shifted(IDS[:, 2:], None)[:, 0, 0].tolist() == [1, 0, 2, 2, 2, 0]


class Operations(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self.names.append(func.overloadpacket.__name__ + (" of ids" if result.dtype == torch.int64 else ""))
        return result


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_gradient_is_a_product_and_that_of_a_plain_embedding(dtype):
    formats = torch.randint(3, (4, 32))
    # Whole numbers whose sums are exact, in the layout in which Megatron adds the vectors.
    gradient = torch.randint(-2, 3, (32, 4, 8)).to(dtype)
    plain = torch.nn.Embedding(3, 8, padding_idx=0, dtype=dtype)
    ours = embedding.FormatVectors(3, 8, padding_idx=0, _weight=plain.weight.detach().clone())
    found = ours(formats)
    assert torch.equal(found, plain(formats))
    plain(formats).permute(1, 0, 2).backward(gradient)
    with Operations() as watch:
        found.permute(1, 0, 2).backward(gradient)
    assert torch.equal(ours.weight.grad, plain.weight.grad)
    assert watch.names.count("mm") == 1
    adding_to_rows = {"embedding_dense_backward", "index_put_", "index_add_", "scatter_add_", "_index_put_impl_"}
    assert not adding_to_rows & set(watch.names)
    # The gradient of the whole sequence is not copied.
    assert "clone" not in watch.names


def test_with_sequence_parallelism_each_rank_adds_and_learns_its_own_part(pair):
    whole = pair[1]
    parts = [embedding.with_formats(Stock)(rank=rank) for rank in (0, 1)]
    weights = torch.randint(-2, 3, (8, 1, 4)).float()
    with torch.no_grad():
        whole.tokentype_embeddings.weight[1:] += torch.tensor([[1.0], [2.0]])
        for part in parts:
            part.load_state_dict(whole.state_dict())
    assert torch.equal(torch.cat([part(IDS, None) for part in parts]), whole(IDS, None))
    (whole(IDS, None) * weights).sum().backward()
    for part, own in zip(parts, weights.chunk(2), strict=True):
        (part(IDS, None) * own).sum().backward()
    gradients = [one.tokentype_embeddings.weight.grad for one in (*parts, whole)]
    assert torch.equal(gradients[0] + gradients[1], gradients[2])
    # By this mark Megatron knows what it has to sum over the ranks.
    assert [one.tokentype_embeddings.weight.sequence_parallel for one in (*parts, whole)] == [True, True, False]


def test_optimizers_treat_the_vectors_as_an_embedding(pair):
    weight = pair[1].tokentype_embeddings.weight
    assert weight.is_embedding_or_output_parameter
    assert pair[1].num_tokentypes == embedding.FORMATS
    layer_wise = pytest.importorskip("megatron.core.optimizer.layer_wise_optimizer")
    assert layer_wise.is_managed_by_layer_wise_optimizer(torch.nn.Parameter(torch.zeros(3, 4)))
    assert not layer_wise.is_managed_by_layer_wise_optimizer(weight)


def test_it_is_found_in_a_model(pair):
    stock, formatted = pair
    assert not embedding.is_swapped(torch.nn.Sequential(stock))
    assert embedding.is_swapped(torch.nn.Sequential(torch.nn.Identity(), formatted))
    # What torch's fully_shard does to the modules of --use-torch-fsdp2.
    formatted.__class__ = type("FSDPFormatEmbedding", (type(formatted),), {})
    assert embedding.is_swapped(torch.nn.Sequential(formatted))
