"""pass@k and its robust form.

Of n completions of a problem c pass. The chance that at least one of k, drawn without replacement, passes is
``1 - C(n - c, k) / C(n, k)`` (Chen et al. 2021, arXiv 2107.03374): an unbiased estimate of pass@k.

Robust pass@k (ReCode, Wang et al. 2022, arXiv 2212.10264) is the same with the worst case over the seeds of one
perturbation: completion i counts as right only if it is right for every seed. The drop is
``(pass@k - robust pass@k) / pass@k``, with pass@k that of the nominal problems.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from .tasks import NOMINAL, Task


def pass_at_k(n: int, c: int, k: int) -> float:
    """The unbiased estimate from ``c`` right ones among ``n``; ``k`` is at most ``n``."""
    return 1.0 - math.comb(n - c, k) / math.comb(n, k)


def summary(tasks: Sequence[Task], passed: Mapping[str, Sequence[bool]], ks: Sequence[int]) -> dict[str, Any]:
    """Figures by perturbation, nominal problems first.

    Parameters
    ----------
    tasks
        The problems.
    passed
        For each :attr:`.tasks.Task.key`, which of its completions passed.
    ks
        Which k to tell; each at most the number of completions.
    """
    groups: dict[str, dict[str, dict[int, Sequence[bool]]]] = defaultdict(lambda: defaultdict(dict))
    for task in tasks:
        groups[task.perturbation][task.task_id][task.seed] = passed[task.key]
    nominal = groups.get(NOMINAL, {})
    found: dict[str, Any] = {}
    if nominal:
        right = {name: list(seeds[0]) for name, seeds in nominal.items()}
        found[NOMINAL] = {"problems": len(right), **{f"pass@{k}": _mean(right, k) for k in ks}}
    for perturbation in sorted(set(groups) - {NOMINAL}):
        worst = {
            name: [all(by_seed) for by_seed in zip(*seeds.values(), strict=True)]
            for name, seeds in groups[perturbation].items()
        }
        figures: dict[str, Any] = {
            "problems": len(worst),
            "seeds": max(len(seeds) for seeds in groups[perturbation].values()),
        }
        shared = {name: list(nominal[name][0]) for name in worst if name in nominal}
        for k in ks:
            robust = _mean(worst, k)
            figures[f"robust pass@{k}"] = robust
            clean = _mean(shared, k) if len(shared) == len(worst) else 0.0
            figures[f"drop@{k}"] = (clean - robust) / clean if clean else None
        found[perturbation] = figures
    return found


def _mean(right: Mapping[str, Sequence[bool]], k: int) -> float:
    return sum(pass_at_k(len(each), sum(each), k) for each in right.values()) / len(right)


def as_table(found: Mapping[str, Mapping[str, Any]]) -> str:
    """The figures as a table."""
    columns = list(dict.fromkeys(name for figures in found.values() for name in figures))
    width = max(map(len, found))
    lines = [f"{'':<{width}}  " + "  ".join(f"{name:>14}" for name in columns)]
    for group, figures in found.items():
        lines.append(f"{group:<{width}}  " + "  ".join(f"{_shown(figures.get(name)):>14}" for name in columns))
    return "\n".join(lines)


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.1%}" if isinstance(value, float) else str(value)
