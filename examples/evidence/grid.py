"""The grid as data: which cells there are, in the order of their value.

A cell is one run of ``examples/compare.sh`` with ``examples/compare/cpu.env``: an arm (a run in that script's words),
the size of the model, the amount of compute, a seed, and how large the vocabulary is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from megatron_proxy.tools.report import flops
from megatron_proxy.tools.report.settings import RunSettings

IDS_PER_STEP: Final = 8 * 256
LOGGED: Final = 10
"""Steps between two lines of a log, of which the last tells what a run took."""
COMMON: Final = "common"
OWN: Final = "own"
PADDED: Final = 1280
"""The one vocabulary that every arm can have."""
OWN_MULTIPLE: Final = 128
"""What Megatron pads an arm's own vocabulary to a multiple of, where it is not told."""
OWN_PADDED: Final = {"bytes": 384, "proxy:gzip": 640, "proxy:halfbyte": 384, "interleaved:halfbyte@0.5": 384}
"""Vocabularies that are smaller than the common one once they are padded; all the others' own ones are as large."""

SHAPES: Final = {"0.3M": (3, 96, 256, 4), "1M": (5, 128, 352, 4), "5M": (6, 256, 704, 8)}
"""Layers, hidden size, MLP size and heads of the sizes in ``examples/compare/cpu.env``."""


def own_vocabulary(arm: str) -> str:
    """Which vocabulary the cells have that show an arm with its own: the common one, where that is no larger."""
    return OWN if arm in OWN_PADDED else COMMON


def flops_per_id(size: str, vocabulary: int) -> int:
    """What training on one id costs, counted as ``megatron-proxy report`` does."""
    names = ("num_layers", "hidden_size", "ffn_hidden_size", "num_attention_heads")
    arguments = {name: str(value) for name, value in zip(names, SHAPES[size], strict=True)}
    found = flops.per_token(RunSettings(arguments | {"seq_length": "256", "swiglu": "True"}, None, vocabulary))
    assert found is not None  # noqa: S101  (a dense GPT)
    return found


@dataclass(frozen=True)
class Cell:
    """One run of the grid.

    Parameters
    ----------
    arm
        What it is trained on, as ``compare.sh`` calls it.
    size
        Parameters without embeddings.
    budget
        Steps with the common vocabulary; what they cost is the cell's compute, whatever its vocabulary.
    seed
        Of weights, order of documents and draws.
    vocabulary
        ``common``: padded to one size for all arms; ``own``: as large as the arm needs, and what that saves is spent on
        more ids.
    """

    arm: str
    size: str = "0.3M"
    budget: int = 500
    seed: int = 1
    vocabulary: str = COMMON

    @property
    def name(self) -> str:
        """A name for files."""
        own = "-own" if self.vocabulary == OWN else ""
        return f"{self.size}-{self.budget}-{self.arm.replace(':', '-')}{own}-{self.seed}"

    @property
    def padded(self) -> int:
        """Rows of the embedding."""
        return OWN_PADDED[self.arm] if self.vocabulary == OWN else PADDED

    @cached_property
    def steps(self) -> int:
        """Steps of equal compute, to the nearest that is logged."""
        saved = flops_per_id(self.size, PADDED) / flops_per_id(self.size, self.padded)
        return LOGGED * round(self.budget * saved / LOGGED)

    def environment(self) -> dict[str, str]:
        """What tells ``compare.sh`` about it."""
        padding = OWN_MULTIPLE if self.vocabulary == OWN else PADDED
        return {
            "RUNS": self.arm,
            "SIZE": self.size,
            "STEPS": str(self.steps),
            "SEED": str(self.seed),
            "PADDING": str(padding),
        }


BYTES: Final = "bytes"
INTERLEAVED: Final = "interleaved:sentencepiece@0.5"
PAPER: Final = "proxy:sentencepiece"
SAME_RATES: Final = ("interleaved:sentencepiece@0.9", "proxy:sentencepiece@0.5")
"""Each placement at the other one's rate: else a difference may be one of rates, that is of raw bytes read."""
GZIP: Final = "proxy:gzip"
"""The control. It writes a document as a whole, so that there is nothing to interleave."""
TOKENIZER: Final = "tokenizer:sentencepiece"
MAIN: Final = (BYTES, INTERLEAVED, PAPER, GZIP)
COMPRESSORS: Final = ("sentencepiece", "trie", "neural", "zstd", "halfbyte", "gzip")
SEEDS: Final = (1, 2, 3)
BUDGETS: Final = (250, 500, 1000, 2000)
LESS_TEXT: Final = (50, 120, 250)
"""What bytes alone make of as few raw bytes as the other arms read."""
SIZES: Final = ("0.3M", "1M", "5M")


def _cells() -> Iterator[Cell]:
    """All cells, the most telling first; some more than once."""
    trend = (BYTES, INTERLEAVED, PAPER)
    yield from (Cell(arm) for arm in MAIN)
    yield from (Cell(arm, seed=seed) for seed in SEEDS for arm in (BYTES, INTERLEAVED))
    yield from (Cell(arm) for arm in SAME_RATES)
    yield from (Cell(PAPER, seed=seed) for seed in SEEDS)
    yield from (Cell(f"interleaved:{name}@0.5") for name in ("zstd", "trie", "neural", "halfbyte"))
    yield from (Cell(arm, budget=1000, seed=seed) for seed in SEEDS for arm in (*trend, TOKENIZER))
    yield from (Cell(arm, seed=seed) for seed in SEEDS for arm in SAME_RATES)
    yield from (Cell(GZIP, seed=seed) for seed in SEEDS)
    yield from (Cell(BYTES, seed=seed, vocabulary=OWN) for seed in SEEDS)
    yield from (Cell(BYTES, budget=budget, seed=seed) for budget in LESS_TEXT for seed in SEEDS)
    yield from (Cell(f"proxy:{name}") for name in ("zstd", "trie", "neural", "halfbyte"))
    yield from (Cell(arm, size=size, budget=min(BUDGETS)) for size in SIZES for arm in trend)
    for seed in SEEDS:
        for name in ("zstd", "trie", "neural", "halfbyte"):
            yield from (Cell(arm, seed=seed) for arm in (f"interleaved:{name}@0.5", f"proxy:{name}"))
    yield Cell(TOKENIZER)
    yield from (Cell(f"interleaved:sentencepiece@{rate}") for rate in (0.75, 0.9))
    yield Cell(f"{INTERLEAVED}+")
    for budget in BUDGETS:
        yield from (Cell(arm, budget=budget) for arm in trend)
    yield from (Cell(arm, size="1M", budget=budget) for budget in (500, 1000) for arm in trend)
    yield from (Cell(arm, size="1M", budget=2000) for arm in trend)
    yield from (Cell(arm, size="5M", budget=budget) for budget in (500, 1000) for arm in trend)
    for size in SIZES:
        yield from (
            Cell(arm, size=size, budget=budget, seed=seed) for seed in SEEDS for budget in BUDGETS for arm in trend
        )
    yield Cell(GZIP, vocabulary=OWN)
    for name in ("zstd", "trie", "neural"):
        yield from (Cell(f"interleaved:{name}@{rate}") for rate in (0.75, 0.9))


CELLS: Final = tuple(dict.fromkeys(_cells()))
