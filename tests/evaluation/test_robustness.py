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
from megatron_proxy.vocab import RAW_OPEN, raw_ids  # noqa: E402

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
        perturbations.apply("x", b"", 0.1, 0, 0)


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


def test_figures_are_over_the_second_halves():
    model = random_model.model(replace(random_model.LLAMA, context=64))
    content = b"first line\nsecond\nthe rest of it"
    prompt, rest = robustness.parted(content)
    done = []
    scorer = Scorer(model, 200, 100, progress=done.append)
    tallies = robustness.measure([content], ["case", "typos"], scorer, rate=0.5, seed=3)
    assert sum(done) == robustness.scored_bytes([content], ["case", "typos"], rate=0.5, seed=3) == 3 * len(rest)
    for name, tally in tallies.items():
        read = prompt if name == "clean" else perturbations.apply(name, prompt, 0.5, 3, 0)
        ids = torch.from_numpy(np.concatenate(([RAW_OPEN], raw_ids(read + rest))))[None]
        losses = torch.nn.functional.cross_entropy(model.logits(ids[:, :-1])[0], ids[0, 1:], reduction="none")
        assert tally.nats == pytest.approx(losses[len(read) :].sum().item(), rel=1e-6)
        assert (tally.source_bytes, tally.targets) == (len(rest), len(rest))
    assert tallies["case"].nats != tallies["clean"].nats


def test_differences_and_table():
    clean, worse = (
        Tally(nats=10 * math.log(2), targets=10, source_bytes=10, correct=5),
        Tally(nats=12 * math.log(2), targets=10, source_bytes=10, correct=4),
    )
    found = robustness.figures({"clean": clean, "typos": worse})
    assert found["typos"]["bpb_added"] == pytest.approx(0.2)
    assert found["typos"]["accuracy_lost"] == pytest.approx(0.1)
    assert robustness.as_table(found).splitlines()[2].split() == [
        "typos",
        "10",
        "1.2000",
        "+0.2000",
        "40.00%",
        "+10.00%",
    ]


def test_nothing_to_evaluate():
    with pytest.raises(CorpusError, match="no document holds a byte"):
        robustness.measure([b""], [], Scorer(random_model.model(), 8, 8))
