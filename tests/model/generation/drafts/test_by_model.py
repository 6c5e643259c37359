"""Drafts by the model's own layer that looks ahead: the same bytes, and guesses that go on from all that was read."""

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

import random_model  # noqa: E402

from megatron_proxy.errors import ConfigurationError  # noqa: E402
from megatron_proxy.model.generation import Drafting, Limits, Lookup, Sampling, generate, reading  # noqa: E402
from megatron_proxy.vocab import RAW_OPEN, raw_ids  # noqa: E402

SHAPE = replace(random_model.LLAMA, context=48, formats=True, looks_ahead=True)
# Of different lengths, one of them ending inside a character.
PROMPTS = [b"abc abc", b"x", b"hello wor" * 3, b"1\n2\n3\n", "größe".encode()[:4]]


@pytest.mark.long
@pytest.mark.parametrize("sampling", [Sampling(), Sampling(0.8, top_k=40, seed=4)], ids=["greedy", "drawn"])
@pytest.mark.parametrize("draft", [None, Lookup()], ids=["alone", "after lookup"])
@pytest.mark.parametrize("kind", ["formats", "windows", "half rope"])
def test_the_same_bytes(kind, draft, sampling, monkeypatch):
    # A model with random weights is sure of nothing.
    monkeypatch.setattr(reading, "_SURE", 0.0)
    changes = {"windows": {"window": 6}, "half rope": {"rope": replace(SHAPE.rope, dimensions=4), "tied": True}}
    model = random_model.model(replace(SHAPE, **changes.get(kind, {})), torch.float32)
    # Windows slide twice, and rows end at different times.
    for limits in (Limits(max_bytes=60), Limits(max_bytes=60, stop=(b"e", b" t"))):
        expected = generate(model, PROMPTS, limits, sampling)
        drafting = Drafting(draft, 7, by_model=True)
        assert generate(model, PROMPTS, limits, sampling, drafting=drafting) == expected
        assert generate(model, PROMPTS, limits, sampling, drafting=drafting, use_cache=False) == expected
        assert drafting.proposed > 20


class Watched:
    """What a model was asked to guess, and what it should have guessed: by reading the rows anew."""

    def __init__(self, model, monkeypatch):
        self.asked, self._model, self._stock = 0, model, model.ahead
        monkeypatch.setattr(model, "ahead", self.ahead)

    def ahead(self, ids, cache, lengths, most, least):
        read = cache.lengths.tolist()
        found, probable = self._stock(ids, cache, lengths, most, least)
        assert len(found[0]) == most or (probable[:, -1] < least).all()
        assert ((probable[:, :-1] >= least).any(dim=0)).all()
        for row, length in enumerate(read):
            # Whatever has led here, the window's last byte is the one that is not read.
            window = torch.tensor([[RAW_OPEN, *raw_ids(self.texts[row])[-length:]]])
            anew = self._model.cache(1, 48)
            self._model.extend(window[:, :-1], anew)
            expected, _ = self._stock(window[:, 1:], anew, torch.tensor([length]), len(found[0]))
            assert torch.equal(found[row], expected[0])
            self.asked += 1
        return found, probable


@pytest.mark.long
def test_guesses_go_on_from_all_that_was_read(monkeypatch):
    monkeypatch.setattr(reading, "_SURE", 0.02)
    model = random_model.model(SHAPE)
    watched = Watched(model, monkeypatch)

    class Noting:
        """Proposes something at every third pass, so that the layer has to catch up; tells what the rows hold."""

        passes = 0

        def propose(self, context, most):
            self.passes += 1
            watched.texts = [context]
            return b"??" if self.passes % 3 == 0 else b""

    limits = Limits(max_bytes=60, valid_utf8=False)
    for prompt in PROMPTS:
        generate(model, [prompt], limits, drafting=Drafting(Noting(), 7, by_model=True))
    assert watched.asked > 10


def test_what_the_model_is_not_sure_of_is_not_proposed():
    drafting = Drafting(None, 7, by_model=True)
    generate(random_model.model(SHAPE), PROMPTS, Limits(max_bytes=20), drafting=drafting)
    assert drafting.passes > 20
    assert drafting.proposed == 0


def test_a_model_that_does_not_look_ahead():
    with pytest.raises(ConfigurationError, match=r"^--draft mtp: the model was trained without a layer that looks"):
        generate(random_model.model(), [b"a"], drafting=Drafting(None, 4, by_model=True))
