"""The format embedding on a small stand-in for Megatron's embedding; real training is in test_training.py."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("megatron.core", reason="megatron-core is not installed")

from megatron_proxy.adaptor import embedding  # noqa: E402
from megatron_proxy.vocab import BYTE_OFFSET, COMPRESSED_CLOSE, COMPRESSED_OPEN, EOS, RAW_CLOSE, RAW_OPEN, SYMBOL_OFFSET  # noqa: E402

B, S = BYTE_OFFSET, SYMBOL_OFFSET
IDS = torch.tensor([[EOS, RAW_OPEN, B, RAW_CLOSE, COMPRESSED_OPEN, B, S, COMPRESSED_CLOSE]])


class Words(torch.nn.Embedding):
    reduce_scatter_embeddings = True


class Stock(torch.nn.Module):
    """What the subclass relies on in Megatron's LanguageModelEmbedding."""

    def __init__(self, hidden=4):
        super().__init__()
        self.word_embeddings = Words(S + 1, hidden)
        self.tokentype_embeddings = None
        self.num_tokentypes = 0
        self.reduce_scatter_embeddings = True

    def forward(self, input_ids, position_ids, tokentype_ids=None):
        words = self.word_embeddings(input_ids)
        return words if tokentype_ids is None else words + self.tokentype_embeddings(tokentype_ids)


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
    added = (formatted(IDS, None) - stock(IDS, None))[0, :, 0]
    assert added.tolist() == pytest.approx([0, 1, 1, 0, 2, 2, 2, 0], abs=1e-6)


def test_what_is_outside_a_view_is_never_trained(pair):
    _, formatted = pair
    formatted(IDS, None).sum().backward()
    assert formatted.tokentype_embeddings.weight.grad[:, 0].tolist() == [0, 2, 3]


def test_words_are_not_scattered_before_the_vectors_are_added(pair):
    _, formatted = pair
    assert not formatted.reduce_scatter_embeddings
    assert not formatted.word_embeddings.reduce_scatter_embeddings
    assert formatted.num_tokentypes == embedding.FORMATS


def test_it_is_found_in_a_model(pair):
    stock, formatted = pair
    assert not embedding.is_swapped(torch.nn.Sequential(stock))
    assert embedding.is_swapped(torch.nn.Sequential(torch.nn.Identity(), formatted))
    # What torch's fully_shard does to the modules of --use-torch-fsdp2.
    formatted.__class__ = type("FSDPFormatEmbedding", (type(formatted),), {})
    assert embedding.is_swapped(torch.nn.Sequential(formatted))
