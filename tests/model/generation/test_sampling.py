"""Choosing ids: exact sets for top-k and top-p, frequencies for the draw."""

import numpy as np
import pytest

from megatron_proxy.errors import CheckpointError, ConfigurationError
from megatron_proxy.model.generation import Sampling

# Probabilities 0.1, 0.4, 0.3, 0, 0.2.
LOGITS = np.log(np.array([0.1, 0.4, 0.3, 1e-300, 0.2])) + 3.0
LOGITS[3] = -np.inf


def chosen(sampling: Sampling, draws: int = 400) -> np.ndarray:
    """How often each id is chosen."""
    return np.bincount([sampling.choose(LOGITS, 0, step).id for step in range(draws)], minlength=5) / draws


def test_temperature_zero_takes_the_likeliest():
    assert chosen(Sampling(0.0, top_k=3, seed=5)).tolist() == [0, 1, 0, 0, 0]


@pytest.mark.long
def test_frequencies_are_the_probabilities():
    np.testing.assert_allclose(chosen(Sampling(1.0), 4000), [0.1, 0.4, 0.3, 0, 0.2], atol=0.03)


@pytest.mark.long
def test_temperature_divides_the_logits():
    powered = np.array([0.1, 0.4, 0.3, 0, 0.2]) ** 2
    np.testing.assert_allclose(chosen(Sampling(0.5), 4000), powered / powered.sum(), atol=0.03)


@pytest.mark.parametrize(("k", "kept"), [(1, {1}), (2, {1, 2}), (3, {1, 2, 4}), (9, {0, 1, 2, 4})])
def test_top_k_keeps_the_k_likeliest(k, kept):
    assert set(np.nonzero(chosen(Sampling(1.0, top_k=k)))[0]) == kept


@pytest.mark.parametrize(
    ("p", "kept"), [(0.1, {1}), (0.39, {1}), (0.41, {1, 2}), (0.71, {1, 2, 4}), (1.0, {0, 1, 2, 4})]
)
def test_top_p_keeps_the_fewest_that_reach_p(p, kept):
    assert set(np.nonzero(chosen(Sampling(1.0, top_p=p)))[0]) == kept


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("temperature", [5e-324, 1e-310, 1e-5])
def test_a_temperature_near_zero_takes_the_likeliest(temperature):
    assert chosen(Sampling(temperature), 20).tolist() == [0, 1, 0, 0, 0]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_logits_that_are_no_numbers(temperature, value):
    with pytest.raises(CheckpointError, match="no numbers"):
        Sampling(temperature).choose(np.array([0.0, value, -np.inf]), 0, 0)


def test_top_p_counts_what_top_k_left():
    # Of 0.4 and 0.3 the first alone is 0.57.
    assert set(np.nonzero(chosen(Sampling(1.0, top_k=2, top_p=0.5)))[0]) == {1}


def test_draws_depend_on_seed_row_and_step_alone():
    draws = {
        (seed, row): [Sampling(1.0, seed=seed).choose(LOGITS, row, step).id for step in range(30)]
        for seed in (1, 2)
        for row in (0, 1)
    }
    assert len({tuple(values) for values in draws.values()}) == 4
    assert draws[1, 0] == [Sampling(1.0, seed=1).choose(LOGITS, 0, step).id for step in range(30)]


@pytest.mark.parametrize(
    ("values", "flag"),
    [
        ({"temperature": -1.0}, "--temperature"),
        ({"temperature": float("nan")}, "--temperature"),
        ({"top_k": 0}, "--top-k"),
        ({"top_p": 0.0}, "--top-p"),
        ({"top_p": 1.5}, "--top-p"),
    ],
)
def test_values_out_of_range(values, flag):
    with pytest.raises(ConfigurationError, match=flag):
        Sampling(**values)
