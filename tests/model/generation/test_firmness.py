"""Choices that are called firm: logits that differ by less than the slack lead to the same one."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

import random_model  # noqa: E402

from megatron_proxy.model.generation import Sampling  # noqa: E402
from megatron_proxy.model.generation.reading import slack  # noqa: E402

SAMPLINGS = [
    Sampling(),
    Sampling(1.0),
    Sampling(0.5, top_k=3),
    Sampling(0.8, top_p=0.7),
    Sampling(1.0, top_k=6, top_p=0.9),
    Sampling(1.0, top_p=1.0),
]


@pytest.mark.long
@settings(max_examples=200)
@given(
    sampling=st.sampled_from(SAMPLINGS),
    seed=st.integers(0, 10**6),
    slack=st.sampled_from([1e-6, 1e-3, 0.1, 0.5]),
    ids=st.integers(1, 12),
)
# The last id that is kept: behind it top-p may or may not cut the next, which weighs nearly as much.
@example(sampling=SAMPLINGS[-2], seed=68553, slack=0.1, ids=7)
def test_a_firm_choice_stands(sampling, seed, slack, ids):
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=ids)
    # Some ids nearly as likely as others.
    logits[ids // 2 :] = logits[: ids - ids // 2] + generator.choice([0.0, slack / 2, -2 * slack])
    choice = sampling.choose(logits, 0, seed, slack)
    if not choice.firm:
        return
    for _ in range(10):
        # The difference of two moves by as much as both do.
        moved = logits + slack / 2 * generator.choice([-0.99, 0.0, 0.99], size=ids)
        assert sampling.choose(moved, 0, seed).id == choice.id


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_few_choices_are_not_firm(sampling):
    generator = np.random.default_rng(1)
    choices = [sampling.choose(3 * generator.normal(size=100), 0, step, 1e-4) for step in range(400)]
    assert sum(not choice.firm for choice in choices) < 20


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_of_twins_neither_is_firm(sampling):
    logits = np.array([5.0, 1.0, 5.0 + 1e-9, 0.0])
    assert not any(sampling.choose(logits, 0, step, 1e-6).firm for step in range(20))


@pytest.mark.long
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_slack_is_more_than_what_shapes_make(dtype):
    """Each id read in passes of 1, 3 and 9, alone and beside another row, against all at once."""
    shape = replace(random_model.LLAMA, layers=4, hidden=64, heads=4, groups=2, head_dim=16, ffn=160, context=128)
    tensors = random_model.tensors(shape)
    tensors.scale = 0.15
    from megatron_proxy.model.network import ByteModel
    from megatron_proxy.model.network.architecture import Rope

    model = ByteModel(replace(shape, rope=Rope(16, 10000.0)), tensors, dtype=dtype)
    ids = torch.randint(64, 320, (2, 64), generator=torch.Generator().manual_seed(2))
    expected = model.logits(ids[:1])[0].double()
    worst = 0.0
    for rows in (1, 2):
        for size in (1, 3, 9):
            cache = model.cache(rows, 128)
            for begin in range(0, 64 - size + 1, size):
                found = model.extend(ids[:rows, begin : begin + size], cache, None, size)[0].double()
                off = found - expected[begin : begin + size]
                worst = max(worst, float((off.amax(dim=1) - off.amin(dim=1)).max()))
    assert 0.0 < worst < slack(expected.numpy(), dtype) / 2
