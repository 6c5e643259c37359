"""The grid of experiments: equal compute, statistics by exact examples, and the page of made-up results."""

import itertools
import json
import math
import random
import statistics
from dataclasses import replace

import grid
import measures
import page
import pictures
import pytest
import results
from grid import Cell
from measures import Spread, Trend


def result(bpb: float | None, robustness: dict[str, float] | None = None, **cell) -> results.Result:
    made = Cell(**cell)
    sizes = {"0.3M": 332_448, "1M": 1_004_800, "5M": 4_820_000}
    return results.Result(
        cell=made,
        command="true",
        versions="one 1.0",
        held_out={"bytes": 200_000, "documents": 80},
        bpb={"compressed": 2.5} if bpb is None else {"raw": bpb},
        figures={
            "flops": 3.0e12,
            "parameters_without_embeddings": sizes[made.size],
            "source_bytes": {"raw": 1_000, "compressed": 2_000},
        },
        robustness=robustness or {},
        seconds=60.0,
        load_average=[1.0, 2.0],
    )


def test_every_cell_is_there_once_under_a_name_of_its_own():
    assert len(set(grid.CELLS)) == len(grid.CELLS) == len({cell.name for cell in grid.CELLS})
    assert [cell.name for cell in grid.CELLS[:2]] == ["0.3M-500-bytes-1", "0.3M-500-interleaved-sentencepiece@0.5-1"]
    main = [cell for cell in grid.CELLS if cell.arm in grid.MAIN and (cell.size, cell.budget) == page.MAIN]
    assert {
        arm: sorted(cell.seed for cell in main if cell.arm == arm and cell.vocabulary == "common") for arm in grid.MAIN
    } == {arm: [1, 2, 3] for arm in grid.MAIN}


@pytest.mark.parametrize(
    "cell", [Cell("bytes", vocabulary="own"), Cell("bytes", "5M", 1000, 2, "own"), Cell("proxy:gzip", vocabulary="own")]
)
def test_what_a_small_vocabulary_saves_is_spent_on_ids(cell):
    common = Cell(cell.arm, cell.size, cell.budget, cell.seed)
    costs = [one.steps * grid.flops_per_id(one.size, one.padded) for one in (cell, common)]
    assert cell.steps > common.steps == cell.budget
    assert costs[0] == pytest.approx(costs[1], rel=1e-2)
    assert cell.steps % grid.LOGGED == 0
    # 3 layers of 96, MLP of 256: 12 · 96² + 3 · 3 · 96 · 256 weights, those of the output, and attention over 256 ids.
    assert grid.flops_per_id("0.3M", 384) == 6 * (110_592 + 221_184 + 96 * 384 + 3 * 96 * 256)


def test_a_result_comes_back_from_its_file(tmp_path):
    one = result(3.0, {"clean": 3.1, "case": 3.2}, arm="bytes", seed=2)
    assert not results.has(one.cell, tmp_path)
    results.save(one, tmp_path)
    (tmp_path / "compressors.json").write_text(json.dumps({"gzip": {"stability": 1.0}}))
    assert results.has(one.cell, tmp_path)
    assert results.load(tmp_path) == [one]
    assert results.compressors(tmp_path) == {"gzip": {"stability": 1.0}}


def test_spread():
    assert Spread.of([]) is None
    assert str(Spread.of([3.0])) == "3.000 (1)"
    assert Spread.of([1.0, 2.0, 3.0]) == Spread(2.0, 1.0, 3)
    assert str(Spread.of([-0.0001, 0.0])) == "0.000 ± 0.000 (2)"


def test_gaps_are_between_runs_of_one_seed_and_one_vocabulary():
    here = [
        *(result(3.0 + seed, arm="bytes", seed=seed) for seed in (1, 2)),
        *(result(3.5 + 2 * seed, arm="proxy:gzip", seed=seed) for seed in (1, 2, 3)),
        result(2.0, arm="bytes", vocabulary="own"),
        result(9.0, arm="proxy:gzip", vocabulary="own"),
        result(3.25, arm="proxy:trie"),
        result(None, arm="tokenizer:sentencepiece"),
    ]
    assert measures.gaps(here, "proxy:gzip", "bytes") == [1.5, 2.5]
    assert measures.own_gaps(here, "proxy:gzip") == [7.0]
    # A vocabulary as large as the common one: there is one run for both.
    assert (measures.gaps(here, "proxy:trie", "bytes"), measures.own_gaps(here, "proxy:trie")) == ([-0.75], [1.25])
    assert measures.gaps(here, "tokenizer:sentencepiece", "bytes") == []


def read(raw: float | None, raw_bytes: int, **cell) -> results.Result:
    one = result(raw, **cell)
    return replace(one, figures={**one.figures, "source_bytes": {"raw": raw_bytes, "compressed": 2_000}})


def test_what_compressed_views_are_worth():
    here = [
        *(read(3.0 + gap, 1024, arm="bytes", seed=seed) for seed, gap in ((1, -0.25), (2, 0.25))),
        read(4.0, 256, arm="bytes", budget=120),
        read(1.0, 512, arm="bytes", vocabulary="own"),
    ]
    alone = measures.BytesAlone(here)
    assert [alone.bits(count) for count in (256, 512, 1024, 255, 1025)] == [4.0, 3.5, 3.0, None, None]
    assert alone.gain(read(3.25, 512, arm="proxy:gzip")) == 0.25
    assert alone.gain(read(3.25, 100, arm="proxy:gzip")) is None
    assert alone.gain(read(None, 512, arm="tokenizer:gzip")) is None
    arms = {"gzip": "proxy:gzip", "trie": "proxy:trie", "zstd": "proxy:zstd"}
    runs = [read(3.0 + seed, 512, arm="proxy:gzip", seed=seed) for seed in (1, 2, 3)]
    assert measures.transfer(runs, alone, arms) == {"gzip": -1.5}
    runs.append(read(3.25, 512, arm="proxy:trie", seed=2))
    assert measures.transfer(runs, alone, arms) == {"gzip": -1.5, "trie": 0.25}


def test_what_perturbed_prompts_add():
    assert measures.added(result(3.0, arm="bytes")) is None
    assert measures.added(result(3.0, {"clean": 3.0, "case": 3.5, "typos": 3.25}, arm="bytes")) == 0.375


def test_rank_correlation():
    assert measures.ranks([5.0, 1.0, 5.0, 9.0]) == [2.5, 1.0, 2.5, 4.0]
    assert measures.rank_correlation([1, 2, 3], [10, 100, 1000]) == pytest.approx(1.0)
    assert measures.rank_correlation([1, 2, 3, 4], [4, 3, 2, 1]) == pytest.approx(-1.0)
    # 1 - 6 · (1 + 1) / (4 · 15)
    assert measures.rank_correlation([1, 2, 3, 4], [2, 1, 3, 4]) == pytest.approx(0.8)
    assert measures.rank_correlation([1, 1, 1], [1, 2, 3]) is None
    assert measures.rank_correlation([1], [1]) is None


def test_the_interval_is_that_of_all_resamples():
    xs, ys = [1.0, 2.0, 3.0, 4.0, 5.0], [2.0, 1.0, 3.0, 5.0, 4.0]
    drawn = (
        measures.rank_correlation([xs[i] for i in chosen], [ys[i] for i in chosen])
        for chosen in itertools.product(range(5), repeat=5)
    )
    found = sorted(round(one, 12) for one in drawn if one is not None)
    expected = tuple(found[math.ceil(share * len(found)) - 1] for share in (0.025, 0.975))
    assert measures.rank_interval(xs, ys) == expected
    assert measures.rank_interval([1, 2, 3, 4, 5], [10, 20, 30, 40, 50]) == (1.0, 1.0)
    assert measures.rank_interval([1, 2, 3, 4], [1, 2, 3, 4]) is None
    assert measures.rank_interval([1, 1, 1, 1, 1], [1, 2, 3, 4, 5]) is None
    assert measures.rank_interval([1, 1, 1, 1, 2], [1, 2, 3, 4, 5]) is None, "one against the others"


def test_a_trend():
    assert Trend.of([(1.0, 3.0), (1.0, 4.0)]) is None
    assert Trend.of([(1.0, 3.0), (3.0, 2.0)]) == Trend(-0.5, None)
    # Residuals of ±1/6 and 1/3 around the line: 1/6 over one degree of freedom, over 2.
    found = Trend.of([(0.0, 0.0), (1.0, 1.5), (2.0, 2.0)])
    assert (found.slope, found.error) == (pytest.approx(1.0), pytest.approx(math.sqrt(1 / 6 / 2)))
    assert str(found) == "+1.000 ± 0.289"


def test_noise_is_told_from_a_trend():
    noise = random.Random(1)
    points = [(x, 2.0 - 0.5 * x + noise.gauss(0.0, 0.1)) for x in range(8) for _ in range(3)]
    found = Trend.of(points)
    assert abs(found.slope + 0.5) < 3 * found.error < 0.1


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([-0.3, -0.3], "2 of 3 seeds: nothing yet"),
        ([-0.3, -0.2, -0.25], "better, by more than its spread"),
        ([0.3, 0.2, 0.25], "worse, by more than its spread"),
        ([0.3, -0.2, 0.25], "within its spread"),
    ],
)
def test_a_verdict_needs_three_seeds_and_more_than_the_spread(values, said):
    assert page.verdict(Spread.of(values)) == said


INSPECTED = {
    name: {
        "stability": place,
        "bytes_per_code": 2.0,
        "literal_bytes": 0.1 * place,
        "entropy_per_byte": 3.0,
        "repeats_kept": 1.0,
    }
    for place, name in enumerate(["sentencepiece", "trie", "neural", "zstd", "halfbyte"], 1)
}


def test_the_page_of_made_up_results():
    found = [
        *(result(3.0, arm="bytes", seed=seed) for seed in (1, 2, 3)),
        read(4.0, 500, arm="bytes", budget=120),
        *(
            result(3.25 + gap, arm=grid.INTERLEAVED, seed=seed)
            for seed, gap in zip((1, 2, 3), (-0.01, 0, 0.01), strict=True)
        ),
        *(result(3.5, arm=f"proxy:{name}", seed=1) for name in ("sentencepiece", "gzip")),
        result(3.75, arm="proxy:trie"),
        result(4.0, arm="proxy:neural"),
        result(4.25, arm="proxy:zstd"),
        result(4.5, arm="proxy:halfbyte"),
        result(2.5, arm="bytes", budget=1000),
        result(2.5, arm=grid.INTERLEAVED, budget=1000),
        result(None, arm=grid.TOKENIZER),
    ]
    lines = list(page.told(found, INSPECTED))
    assert "| `bytes` | 3.000 ± 0.000 (3) | - | - | - | - | 1,000 | 2,000 | - |" in lines
    spreads = "3.250 ± 0.010 (3) | 0.250 ± 0.010 (3) | - | -0.250 ± 0.010 (3) | - |"
    assert f"| `interleaved:sentencepiece@0.5` | {spreads} 1,000 | 2,000 | - |" in lines
    assert "| `tokenizer:sentencepiece` | - | - | - | - | - | 1,000 | 2,000 | 2.500 (1) |" in lines
    assert (
        "| interleaved to 0.5 less bytes | 0.3M | 1,024,000 | 0.250 ± 0.010 (3) | worse, by more than its spread |"
        in lines
    )
    assert "| gzip less bytes | 0.3M | 1,024,000 | 0.500 (1) | 1 of 3 seeds: nothing yet |" in lines
    (trend,) = [line for line in lines if "for each doubling" not in line and "ids, at 0.3M" in line]
    assert trend.startswith("| `interleaved:sentencepiece@0.5` | ids, at 0.3M | -0.250 ± 0.012 | 2 | 4 |")
    # The more stable, the better, in the paper's placement; in the other there is one compressor.
    assert "| stability (edit distance) | -1.00, -1.00 to -1.00 (5) | - (1) |" in lines
    assert "| neural | 3.000 | 2.000 | 0.300 | 3.000 | 1.000 | -1.000 | - |" in lines
    assert f"{len(found)} of the grid's {len(grid.CELLS)} cells have a result." in lines


def test_the_readme_speaks_of_what_has_three_seeds():
    found = [result(3.0 + seed / 100, arm="bytes", seed=seed) for seed in (1, 2, 3)]
    found += [result(3.5, arm=grid.PAPER, seed=seed) for seed in (1, 2)]
    assert list(page.sentence(found)) == []
    found += [result(3.25, arm=grid.INTERLEAVED, seed=seed) for seed in (1, 2, 3)]
    told = next(page.sentence(found))
    assert "0.3M parameters without embeddings, 1.0M ids" in told
    assert "bytes alone 3.02 ± 0.01, `--proxy-mode interleaved` with SentencePiece, half of the" in told
    assert "compressed, 3.25 ± 0.00. Seed by seed, interleaved less bytes is 0.23 ± 0.01: worse, by more" in told
    assert "paper" not in told
    assert list(page.sentence(found[3:])) == []


def test_nothing_is_said_without_results():
    lines = list(page.told([], {}))
    assert f"0 of the grid's {len(grid.CELLS)} cells have a result." in lines
    assert not [line for line in lines if line.startswith("|")]
    assert pictures.all_of([]) == {}


def test_a_dot_for_each_run():
    found = [result(3.0 + seed, arm=arm, seed=seed) for arm in ("bytes", grid.INTERLEAVED) for seed in (1, 2, 3)]
    assert pictures.arms(found).alone().count("<circle") == 6
    assert pictures.arms(found[:4], seeds=3).alone().count("<circle") == 3
    assert pictures.arms(found[:2], seeds=3) is None
    drawn = pictures.budgets(found).alone()
    assert (drawn.count("<circle"), drawn.count("interleaved:sentencepiece@0.5, 0.3M")) == (2, 1)


def test_the_page_is_that_of_the_results():
    for path, content in page.files().items():
        assert path.read_text("utf-8") == content, "run `python examples/evidence page`, or `make docs`"


def test_deviations_are_those_of_samples():
    values = [random.Random(2).random() for _ in range(5)]
    assert Spread.of(values).deviation == statistics.stdev(values)
