"""The bytes written are those without drafts, whatever is proposed; drafts decide how many passes it takes."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

import golden_compressors  # noqa: E402
import random_model  # noqa: E402

from megatron_proxy import compressors  # noqa: E402
from megatron_proxy.errors import ConfigurationError  # noqa: E402
from megatron_proxy.model.generation import Drafting, Limits, Lookup, Sampling, generate, stream  # noqa: E402
from megatron_proxy.model.network import ByteModel  # noqa: E402
from megatron_proxy.vocab import BYTE_OFFSET, RAW_CLOSE  # noqa: E402


class Known:
    """Proposes what was written before; of every so many bytes one is wrong."""

    def __init__(self, prompts, done, wrong_each=0):
        self._texts = [prompt + one.text for prompt, one in zip(prompts, done, strict=True)]
        self._wrong_each = wrong_each

    def propose(self, context, most):
        for text in self._texts:
            if text.startswith(context):
                copied = bytearray(text[len(context) : len(context) + most])
                for place in range(len(copied)):
                    if self._wrong_each and (len(context) + place) % self._wrong_each == 0:
                        copied[place] ^= 1
                return bytes(copied)
        return b""


class Junk:
    """More than was asked for, and nothing that anybody would write."""

    def propose(self, context, most):
        return b"\xff\x00" * most


SAMPLINGS = {
    "greedy": Sampling(),
    "drawn": Sampling(1.0, seed=3),
    "cut": Sampling(0.8, top_k=40, top_p=0.9, seed=4),
}
LIMITS = {
    "plain": Limits(max_bytes=40),
    "any bytes": Limits(max_bytes=40, valid_utf8=False),
    "stops": Limits(max_bytes=40, stop=(b"e", b" t", "ä".encode())),
}


@pytest.fixture(scope="module")
def model():
    # Windows of 48 slide several times. In float32, in which the shape of a pass changes the last bits.
    return random_model.model(replace(random_model.LLAMA, context=48, formats=True), torch.float32)


def prompts_of(count, seed=0):
    """Prompts of all lengths, some of which end inside a character."""
    generator = np.random.default_rng(seed)
    alphabet = [*"abcde  \n()=:", "é", "ß", "€", "😀"]
    prompts = ["".join(generator.choice(alphabet, generator.integers(0, 30))).encode()[:47] for _ in range(count)]
    return [prompt[: len(prompt) - number % 3] for number, prompt in enumerate(prompts)]


@pytest.mark.long
def test_the_same_bytes_over_two_hundred_prompts():
    model = random_model.model(replace(random_model.LLAMA, context=96), torch.float32)
    # Said twice, so that there is something to look up; the second time cut off, at times inside a character.
    prompts = [(prompt + prompt)[: 47 - len(prompt) % 9] for prompt in prompts_of(200)]
    limits = Limits(max_bytes=24)
    expected = generate(model, prompts, limits)
    lookup, known = Drafting(Lookup(), 7), Drafting(Known(prompts, expected, wrong_each=5), 7)
    for drafting in (lookup, known):
        assert generate(model, prompts, limits, drafting=drafting) == expected
    assert lookup.proposed > 100
    assert 0 < known.accepted < known.proposed
    assert known.passes < sum(len(one.text) for one in expected) / 2


@pytest.mark.long
@pytest.mark.parametrize("limits", LIMITS.values(), ids=LIMITS)
@pytest.mark.parametrize("sampling", SAMPLINGS.values(), ids=SAMPLINGS)
def test_the_same_bytes_with_all_limits_and_samplings(model, sampling, limits):
    prompts = prompts_of(12, seed=5)
    expected = generate(model, prompts, limits, sampling)
    for draft in (Known(prompts, expected, wrong_each=5), Junk()):
        found = []
        for first in (0, 5):
            part = prompts[first : first + 5 + first]
            found += generate(model, part, limits, sampling, first_row=first, drafting=Drafting(draft, 7))
        assert found == expected


@pytest.mark.long
@settings(max_examples=15)
@given(
    prompts=st.lists(st.binary(max_size=31), min_size=1, max_size=3),
    temperature=st.sampled_from([0.0, 0.7]),
    most=st.integers(1, 12),
    use_cache=st.booleans(),
    wrong_each=st.integers(0, 6),
)
def test_the_same_bytes_of_any_prompts(prompts, temperature, most, use_cache, wrong_each):
    model = random_model.model(random_model.LLAMA, torch.float32)
    sampling, limits = Sampling(temperature, seed=most), Limits(max_bytes=16)
    expected = generate(model, prompts, limits, sampling)
    drafting = Drafting(Known(prompts, expected, wrong_each), most)
    assert generate(model, prompts, limits, sampling, use_cache=use_cache, drafting=drafting) == expected
    shown = [b""] * len(prompts)
    for number, piece in stream(model, prompts, limits, sampling, drafting=drafting):
        shown[number] += piece
    assert shown == [one.text for one in expected]


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in golden_compressors.NAMES if compressors.get(name).spans])
@settings(max_examples=8)
@given(prompts=st.lists(st.binary(max_size=24), min_size=1, max_size=3))
def test_the_same_bytes_with_the_vocabulary_of_every_compressor_with_spans(name, prompts):
    size = golden_compressors.golden(name).vocabulary.size
    model = random_model.model(replace(random_model.LLAMA, vocabulary=size, looks_ahead=True), torch.float32)
    # Said twice, so that there is something to look up.
    prompts, limits = [(prompt + prompt)[:31] for prompt in prompts], Limits(max_bytes=16)
    expected = generate(model, prompts, limits)
    for drafting in (Drafting(Lookup(), 5), Drafting(None, 5, by_model=True)):
        assert generate(model, prompts, limits, drafting=drafting) == expected


@pytest.mark.parametrize("changes", [{"rope": None, "learned_positions": True}, {"tied": True, "groups": 4}])
def test_other_kinds_of_models(changes):
    model = random_model.model(replace(random_model.LLAMA, context=32, **changes), torch.float32)
    prompts = prompts_of(12, seed=1)
    prompts = [prompt[:31] for prompt in prompts]
    expected = generate(model, prompts, Limits(max_bytes=40))
    drafting = Drafting(Known(prompts, expected, 7), 12)
    assert generate(model, prompts, Limits(max_bytes=40), drafting=drafting) == expected


class NearTies(random_model.RandomTensors):
    """Each byte has a twin whose logits differ from its own in the last bits."""

    def read(self, name):
        tensor = super().read(name)
        if name == "output_layer.weight":
            tensor[1::2] = tensor[::2] * (1 + torch.finfo(torch.float32).eps * torch.randn(tensor[::2].shape))
        return tensor


@pytest.mark.long
def test_choices_that_rounding_could_turn():
    shape = replace(random_model.LLAMA, context=48)
    torch.manual_seed(1)
    model = ByteModel(shape, NearTies(random_model.tensors(shape).shapes))
    prompts, limits = prompts_of(6, seed=2), Limits(max_bytes=20, valid_utf8=False)
    for sampling in (Sampling(), Sampling(0.8, seed=1)):
        expected = [generate(model, [one], limits, sampling, first_row=n)[0] for n, one in enumerate(prompts)]
        assert generate(model, prompts, limits, sampling) == expected
        assert generate(model, prompts, limits, sampling, use_cache=False) == expected
        drafting = Drafting(Known(prompts, expected, 9), 8)
        assert generate(model, prompts, limits, sampling, drafting=drafting) == expected


def test_in_half_precision_choices_are_taken_as_they_come(monkeypatch):
    model = random_model.model(replace(random_model.LLAMA, context=64), torch.bfloat16)
    monkeypatch.setattr(model, "logits", None)
    prompts, limits = prompts_of(4, seed=3), Limits(max_bytes=20)
    for drafting in (None, Drafting(Junk(), 4)):
        assert all(one.text for one in generate(model, prompts, limits, drafting=drafting))


def test_a_right_draft_takes_a_pass_for_all_its_bytes_and_one_more(model):
    limits = Limits(max_bytes=36, valid_utf8=False)
    prompts = [b"ab"]
    expected = generate(model, prompts, limits)
    assert expected[0].reason == "length"
    drafting = Drafting(Known(prompts, expected), 8)
    assert generate(model, prompts, limits, drafting=drafting) == expected
    # 4 and one, 8 and one, three times; the last byte needs no draft.
    assert (drafting.passes, drafting.proposed, drafting.accepted) == (5, 31, 31)


def test_drafts_in_vain_are_given_up_for_a_while(model):
    limits = Limits(max_bytes=100, valid_utf8=False)
    drafting = Drafting(Junk(), 8)
    (done,) = generate(model, [b"ab"], limits, drafting=drafting)
    assert drafting.passes == len(done.text) == 100
    # After 1, 4, 16 and 64 passes without.
    assert drafting.proposed == 4 * 5


def test_no_bytes_at_all():
    with pytest.raises(ConfigurationError, match="--draft-bytes: must be at least 1, not 0"):
        Drafting(Lookup(), 0)


class Chain:
    """After an "a", "b" or "c" each of them and the end follow with probabilities of their own, whatever is before."""

    device, dtype = torch.device("cpu"), torch.float32
    probabilities = np.array([[0.4, 0.3, 0.2, 0.1], [0.15, 0.2, 0.3, 0.35], [0.25, 0.25, 0.3, 0.2]])
    architecture = replace(random_model.LLAMA, context=64)

    def __init__(self):
        self._logits = torch.full((330, 330), -40.0)
        ids = [*(byte + BYTE_OFFSET for byte in b"abc"), RAW_CLOSE]
        for id_, row in zip(ids, self.probabilities, strict=False):
            self._logits[id_, ids] = torch.from_numpy(np.log(row)).float()

    def cache(self, rows, capacity):
        return random_model.model().cache(rows, capacity)

    def extend(self, ids, cache, lengths=None, last=1):
        lengths = torch.full((len(ids),), ids.shape[1]) if lengths is None else lengths
        places = (lengths[:, None] - last + torch.arange(last)).clamp(min=0)
        return self._logits[ids.gather(1, places)]


class Always:
    """Proposes the same bytes whatever was written."""

    def __init__(self, proposal):
        self._proposal = proposal

    def propose(self, context, most):
        return (self._proposal * most)[:most]


@pytest.mark.long
@pytest.mark.parametrize("draft", [None, Always(b"a"), Always(b"ca"), Lookup()], ids=["none", "a", "ca", "lookup"])
@pytest.mark.parametrize("temperature", [0.8])
def test_frequencies_of_sampled_texts_are_the_models(draft, temperature):
    """Pearson's chi-square over the 40 texts of up to three bytes after an "a"."""
    powered = Chain.probabilities ** (1 / temperature)
    follows = powered / powered.sum(axis=1, keepdims=True)
    expected = {}

    def walk(text, probability):
        for choice in range(4):
            share = probability * follows[b"abc".index((b"a" + text)[-1:]), choice]
            if choice == 3 or len(text) == 2:
                expected[text + b"abc|"[choice : choice + 1]] = share
            else:
                walk(text + b"abc"[choice : choice + 1], share)

    walk(b"", 1.0)
    assert len(expected) == 40
    assert sum(expected.values()) == pytest.approx(1.0)
    count = 3000
    drafting = draft and Drafting(draft, 3)
    limits, sampling = Limits(max_bytes=3), Sampling(temperature, seed=11)
    found = dict.fromkeys(expected, 0)
    for done in generate(Chain(), [b"a"] * count, limits, sampling, drafting=drafting):
        found[done.text + (b"|" if done.reason == "end" else b"")] += 1
    statistic = sum((found[text] - count * share) ** 2 / (count * share) for text, share in expected.items())
    # 39 degrees of freedom: one sample in a thousand lies above 72.1.
    assert statistic < 72.1
    assert min(count * share for share in expected.values()) > 5


@pytest.mark.long
def test_a_drafted_byte_is_kept_with_its_probability():
    limits, sampling = Limits(max_bytes=2), Sampling(1.0, seed=5)
    drafting = Drafting(Always(b"b"), 1)
    generate(Chain(), [b"a"] * 4000, limits, sampling, drafting=drafting)
    # The first byte is drafted in each row: a "b" follows an "a" with probability 0.3. Three standard deviations.
    assert drafting.proposed == 4000
    assert drafting.accepted / 4000 == pytest.approx(0.3, abs=3 * (0.3 * 0.7 / 4000) ** 0.5)
