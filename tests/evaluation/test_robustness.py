"""Perturbations by exact examples, and figures over the second halves alone."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

import random_model  # noqa: E402

from megatron_proxy.common import rng  # noqa: E402
from megatron_proxy.errors import ConfigurationError, CorpusError  # noqa: E402
from megatron_proxy.evaluation import perturbations, robustness  # noqa: E402
from megatron_proxy.evaluation.scoring import Scorer, Tally  # noqa: E402
from megatron_proxy.vocab import EOS, RAW_OPEN, raw_ids  # noqa: E402

STREAM = rng.key(0, rng.Purpose.PERTURBATION)
CODE = "def f(value):\n    total = value.total\n        return total\n"


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("whitespace", "a b  c\n d", "a  b  c\n d"),
        ("case", "aB é1", "Ab é1"),
        ("typos", "abcd e1", "badc e1"),
        ("identifiers", CODE, "def f(name_1):\n    name_0 = name_1.total\n        return name_0\n"),
        ("indentation", CODE, "def f(value):\n\ttotal = value.total\n\t\treturn total\n"),
    ],
)
def test_everything_changed(name, text, expected):
    assert perturbations.ALL[name](text, 1.0, STREAM) == expected


@given(st.text(max_size=80), st.sampled_from(sorted(set(perturbations.ALL) - {"indentation"})))
def test_a_rate_of_nothing_changes_nothing(text, name):
    assert perturbations.ALL[name](text, 0.0, STREAM) == text


@given(st.binary(max_size=60), st.sampled_from(sorted(perturbations.ALL)))
def test_any_bytes_go_through_and_the_same_seed_gives_the_same(content, name):
    once = perturbations.apply(name, content, 0.5, 1, 2)
    assert once == perturbations.apply(name, content, 0.5, 1, 2)


def test_the_rate_is_the_share_of_places():
    text = "word " * 4000
    changed = perturbations.whitespace(text, 0.2, STREAM).count("  ")
    assert changed / 3999 == pytest.approx(0.2, abs=0.02)


def test_unknown_names():
    with pytest.raises(ConfigurationError, match="no perturbation is called 'x'; known: whitespace, case"):
        perturbations.check("x")


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (b"ab\ncd\nef\ngh\n", (b"ab\ncd\n", b"ef\ngh\n")),
        (b"abcdef", (b"abc", b"def")),
        ("aé".encode(), ("aé".encode()[:1], "é".encode())),
        (b"", (b"", b"")),
    ],
)
def test_prompts_are_the_first_half_up_to_a_line(content, parts):
    assert robustness.parted(content) == parts


def by_hand(model, prompt, rest, context, stride, sentinels):
    """Nats of the first ``context - stride`` bytes of the rest, window by window."""
    text, total = prompt + rest, 0.0
    last = min(len(text), len(prompt) + context - stride)
    for begin in range(len(prompt), last, stride):
        end = min(begin + stride, last)
        first = max(0, end - context)
        # Without sentinels a window is opened by the byte before it, and the document by the end of another.
        opener = RAW_OPEN if sentinels else EOS if first == 0 else raw_ids(text)[first - 1]
        ids = torch.from_numpy(np.concatenate(([opener], raw_ids(text[first:end]))))[None]
        losses = torch.nn.functional.cross_entropy(model.logits(ids[:, :-1])[0], ids[0, 1:], reduction="none")
        total += losses[begin - first :].sum().item()
    return total


@pytest.mark.parametrize(("context", "stride", "scored"), [(200, 100, 19), (20, 10, 10), (20, 5, 15), (20, 19, 1)])
@pytest.mark.parametrize("sentinels", [True, False])
def test_figures_are_over_what_a_perturbation_can_reach(context, stride, scored, sentinels):
    model = random_model.model(replace(random_model.LLAMA, context=64))
    content = b"first line\nsecond\nand the rest"
    prompt, rest = robustness.parted(content)
    assert len(rest) == 19
    names = ["case", "typos", "whitespace"]
    done = []
    scorer = Scorer(model, context, stride, progress=done.append)
    found = robustness.measure([content], names, scorer, rate=0.5, seed=3, sentinels=sentinels)
    assert sum(done) == (1 + len(names)) * robustness.scored_bytes([content], context, stride) == 4 * scored
    for name, tally in found.tallies.items():
        read = prompt if name == "clean" else perturbations.apply(name, prompt, 0.5, 3, 0)
        assert tally.nats == pytest.approx(by_hand(model, read, rest, context, stride, sentinels), rel=1e-6)
        assert (tally.source_bytes, tally.targets, tally.documents) == (scored, scored, 1)
    assert (found.scored_bytes, found.rest_bytes) == (scored, 19)
    assert found.tallies["case"].nats != found.tallies["clean"].nats


class Recorder:
    """Stands for a scorer: keeps the streams."""

    context, stride = 20, 10

    def score(self, streams):
        self.scored = list(streams)


def test_every_byte_scored_is_read_with_a_stride_of_the_prompt_and_alike_behind_all():
    """What made a model look robust: rests of many contexts, of whose bytes hardly one was read with the prompt."""
    content = b"ab cd ef gh ij kl mn op\n" * 10
    scorer = Recorder()
    names = ["whitespace", "typos"]
    found = robustness.measure([content], names, scorer, rate=1.0)
    prompt, rest = robustness.parted(content)
    assert (found.scored_bytes, found.rest_bytes) == (10, len(rest))
    assert len(scorer.scored) == 3
    for name, one in zip(["clean", *names], scorer.scored, strict=True):
        read = prompt if name == "clean" else perturbations.apply(name, prompt, 1.0, 0, 0)
        ids = raw_ids(read[-10:] + rest[:10])
        assert np.array_equal(one.stream.ids, ids)
        assert [(segment.begin, segment.end) for segment in one.segments] == [(10, 20)]


def test_what_is_changed_only_far_before_the_rest_does_not_count():
    near, far = b"A few words, 1 2 3 4 5 6 7 8 9 10\n" + b"x" * 40, b"a" + b"1" * 60 + b"\n" + b"x" * 70
    scorer = Recorder()
    found = robustness.measure([near, far], ["case", "whitespace"], scorer, rate=1.0)
    # Within the ten bytes before the rest there are spaces in one document, and letters in none.
    assert found.changed == {"case": 0, "whitespace": 1}
    assert robustness.figures(found)["whitespace"]["documents_changed"] == 1


def test_nothing_that_could_be_reached():
    with pytest.raises(CorpusError, match="no document has a byte behind a prompt"):
        robustness.measure([b"", b"x"], ["case"], Recorder())
    with pytest.raises(CorpusError, match="nothing is perturbed: case, typos changed none of the bytes") as caught:
        robustness.measure([b"1234\n5678\n"], ["case", "typos"], Recorder(), rate=1.0)
    assert "--rate" in str(caught.value)
    with pytest.raises(ConfigurationError, match="--stride: windows of 8 bytes that move on by as many hold nothing"):
        robustness.measure([b"ab\ncd\n"], ["case"], Scorer(None, 8, 8))


def test_differences_and_table():
    clean, worse = (
        Tally(nats=10 * math.log(2), targets=10, source_bytes=10, correct=5, documents=3),
        Tally(nats=12 * math.log(2), targets=10, source_bytes=10, correct=4, documents=3),
    )
    measured = robustness.Measured({"clean": clean, "typos": worse}, {"typos": 2}, rest_bytes=1234)
    found = robustness.figures(measured)
    assert found["typos"]["bpb_added"] == pytest.approx(0.2)
    assert found["typos"]["accuracy_lost"] == pytest.approx(0.1)
    lines = robustness.as_table(measured).splitlines()
    assert lines[2].split() == ["typos", "2", "of", "3", "1.2000", "+0.2000", "40.00%", "+10.00%"]
    assert lines[-1].startswith("over 10 of the 1,234 bytes behind the prompts: those that")
