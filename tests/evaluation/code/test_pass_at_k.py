"""pass@k against counting all draws, and ReCode's worst case by hand."""

import itertools

import pytest

from megatron_proxy.evaluation.code.pass_at_k import as_table, pass_at_k, summary
from megatron_proxy.evaluation.code.tasks import Task


@pytest.mark.parametrize("n", [1, 4, 7])
def test_pass_at_k_is_the_share_of_draws_with_a_right_one(n):
    for c, k in itertools.product(range(n + 1), range(1, n + 1)):
        draws = list(itertools.combinations(range(n), k))
        right = sum(any(number < c for number in draw) for draw in draws)
        assert pass_at_k(n, c, k) == pytest.approx(right / len(draws))


def task(name: str, perturbation: str = "nominal", seed: int = 0) -> Task:
    return Task(name, "", "f", "", None, perturbation, seed)


def test_nominal_problems():
    found = summary([task("a"), task("b")], {task("a").key: [True, False], task("b").key: [False, False]}, [1, 2])
    assert found == {"nominal": {"problems": 2, "pass@1": 0.25, "pass@2": 0.5}}


def test_worst_case_over_seeds():
    tasks = [task("a"), task("b"), *(task(name, "tabs", seed) for seed in (0, 1) for name in "ab")]
    passed = {
        "nominal/0/a": [True, True],
        "nominal/0/b": [True, False],
        "tabs/0/a": [True, False],
        "tabs/1/a": [True, True],
        "tabs/0/b": [True, False],
        "tabs/1/b": [False, True],
    }
    found = summary(tasks, passed, [1])
    # a: the first completion is right for both seeds; b: neither is.
    assert found["nominal"]["pass@1"] == 0.75
    assert found["tabs"] == {"problems": 2, "seeds": 2, "robust pass@1": 0.25, "drop@1": pytest.approx(0.5 / 0.75)}
    table = as_table(found).splitlines()
    assert table[1].split() == ["nominal", "2", "75.0%", "-", "-", "-"]
    assert table[2].split() == ["tabs", "2", "-", "2", "25.0%", "66.7%"]


def test_no_drop_without_nominal_problems_that_pass():
    only = summary([task("a", "tabs")], {"tabs/0/a": [False]}, [1])
    assert only == {"tabs": {"problems": 1, "seeds": 1, "robust pass@1": 0.0, "drop@1": None}}
