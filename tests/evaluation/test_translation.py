"""Oracle translation: pieces add up, nats by hand, exact match by writing greedily."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

import random_model  # noqa: E402

from megatron_proxy.errors import ConfigurationError  # noqa: E402
from megatron_proxy.evaluation import translation  # noqa: E402
from megatron_proxy.evaluation.translation import DIRECTIONS, Direction  # noqa: E402
from megatron_proxy.vocab import COMPRESSED_CLOSE, COMPRESSED_OPEN, RAW_CLOSE, RAW_OPEN, raw_ids  # noqa: E402


def halves(content: bytes) -> np.ndarray:
    """Two bytes a symbol; a last odd byte is a literal."""
    pairs = [320 + sum(content[place : place + 2]) % 10 for place in range(0, len(content) - 1, 2)]
    return np.array(pairs + [64 + byte for byte in content[len(content) // 2 * 2 :]], dtype=np.int64)


@given(st.binary(max_size=300), st.integers(5, 60))
def test_pieces_fit_and_add_up(content, context):
    found = list(translation.pieces(content, halves, context))
    assert b"".join(piece.content for piece in found) == content
    for piece in found:
        assert piece.content
        assert len(piece.raw) + len(piece.compressed) + 4 <= context + 1
        assert piece.raw.tolist() == raw_ids(piece.content).tolist()
        assert piece.compressed.tolist() == halves(piece.content).tolist()


@given(st.text(max_size=60))
def test_pieces_do_not_cut_characters(text):
    for piece in translation.pieces(text.encode("utf-8", "ignore"), halves, 20):
        piece.content.decode()


def test_views_that_never_fit():
    with pytest.raises(ConfigurationError, match="--context"):
        list(translation.pieces(b"abc", lambda content: np.full(50, 320), 20))


@pytest.mark.parametrize("batch", [1, 5])
def test_nats_are_those_of_the_second_view(batch):
    model = random_model.model(replace(random_model.LLAMA, formats=True))
    content = b"def f(x): return x" * 3
    sides = translation.measure([content, b""], halves, model, context=32, batch=batch)
    for name in DIRECTIONS:
        expected = 0.0
        for piece in translation.pieces(content, halves, 32):
            raw = [RAW_OPEN, *piece.raw, RAW_CLOSE]
            compressed = [COMPRESSED_OPEN, *piece.compressed, COMPRESSED_CLOSE]
            first, second = (compressed, raw) if name.startswith("raw") else (raw, compressed)
            ids = torch.tensor([[*first, *second]])
            losses = torch.nn.functional.cross_entropy(model.logits(ids[:, :-1])[0], ids[0, 1:], reduction="none")
            expected += losses[len(first) : -1].sum().item()
        assert sides[name].nats == pytest.approx(expected, rel=1e-6)
        assert sides[name].source_bytes == len(content)
        assert sides[name].exact == 0


class Copier:
    """Translates raw bytes to symbols without a fault, until a byte 'x' comes; cannot translate back."""

    def scores(self, ids, targets):
        from megatron_proxy.model.network import Scores

        right = torch.ones(ids.shape, dtype=torch.float64)
        for row, sequence in enumerate(ids.tolist()):
            if sequence[0] != RAW_OPEN or ord("x") + 64 in sequence:
                right[row, :] = 0.0
        return Scores(torch.ones_like(right), torch.ones_like(right), right)


def test_exact_match_counts_whole_pieces():
    done = []
    sides = translation.measure([b"abcdefgh", b"abxdefgh"], halves, Copier(), context=20, progress=done.append)
    assert sum(done) == 2 * 16
    assert sides["raw_given_compressed"].figures()["exact_match"] == 0.0
    assert sides["compressed_given_raw"] == Direction(nats=8.0, source_bytes=16, pieces=2, exact=1)
    assert sides["compressed_given_raw"].figures()["exact_match"] == 0.5


def test_exact_match_is_what_greedy_writing_finds():
    """A model that writes one fixed text whatever it is given."""
    model = random_model.model(replace(random_model.LLAMA, context=40))
    piece = next(translation.pieces(b"ab", halves, 40))
    prompt = [COMPRESSED_OPEN, *piece.compressed, COMPRESSED_CLOSE, RAW_OPEN]
    written = []
    while len(written) < 3:
        written.append(model.logits(torch.tensor([[*prompt, *written]]))[0, -1].argmax().item())
    # The model's own greedy continuation, taken for the truth, is an exact match: every id is its first choice.
    ids = torch.tensor([[*prompt, *written]])
    scores = model.scores(ids[:, :-1], ids[:, 1:])
    assert scores.correct[0, len(prompt) - 1 :].tolist() == [1.0, 1.0, 1.0]
