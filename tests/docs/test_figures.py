"""The figures are what their script draws."""

import make_figures
import numpy as np
import pytest

from megatron_proxy.common.pages import svg
from megatron_proxy.data.sampling.schedule import Mode, Schedule
from megatron_proxy.vocab import SPECIAL_NAMES


@pytest.fixture(scope="module")
def drawn():
    return {f"{name}.svg": picture.alone() for name, picture in make_figures.figures().items()}


@pytest.mark.long
def test_the_files_are_up_to_date(drawn):
    kept = {name: (make_figures.FOLDER / name).read_text(encoding="utf-8") for name in drawn}
    assert kept == drawn, "run `make docs`"


def test_shares_are_the_papers():
    raw, pairs, compressed = make_figures._shares(0.25)
    assert [raw, pairs, compressed] == pytest.approx([2 / 3, 1 / 3, 0], abs=0.01)
    assert make_figures._shares(0.9)[2] == pytest.approx(2 - 1 / 0.9, abs=0.01)


def test_a_plan_has_the_rates_of_the_schedule():
    schedule = Schedule(final_rate=0.5, decay=0.2)
    for progress, rate in make_figures._counted(schedule):
        assert rate == pytest.approx(schedule.at(progress).rate, abs=0.06)


def test_windows_hold_every_id_once():
    first, second = make_figures._windows(Schedule.constant(0.0, Mode.SENTINEL), 32, count=2)
    assert [len(first), len(second)] == [33, 33]
    assert (first[0].text, first[1].text) == ("<eos>", "<raw>")
    # The opener is the sentinel that the second window goes on in; the ids go on where the first window ended.
    texts = [make_figures._shown(text.decode()) for text in make_figures.TEXTS]
    content = "".join(cell.text for cell in [*first[1:], *second[1:]] if cell.text not in SPECIAL_NAMES.values())
    assert second[0].text == "<raw>"
    assert any(content.startswith(text) for text in texts)


def test_both_views_are_of_one_text():
    compressor = make_figures._compressor()
    raw, compressed = (make_figures._view(compressor, name) for name in ("raw", "compressed"))
    text = make_figures._shown(make_figures.TEXTS[0].decode())
    assert "".join(cell.text for cell in raw) == "".join(cell.text for cell in compressed) == text
    assert {cell.colour for cell in raw} == {make_figures.BLUE}
    assert {cell.colour for cell in compressed} == {make_figures.ORANGE, make_figures.GREEN}
    assert len(compressed) < len(raw) == len(text)


def test_rows_of_the_measured_tables_are_found():
    rows = {row.name: row for corpus in ("stdlib", "debian") for row in make_figures._measured(corpus)}
    assert {"identity", "zstd", "gzip", "trie, 65,280"} <= set(rows)
    assert rows["identity"].bytes_per_code == 1.0
    assert all(name in rows for name in make_figures._LABELS)


def test_numbers_have_two_decimals():
    assert [svg.number(value) for value in (1, 0.125, 1 / 3, np.float64(2.5), 100.0)] == [
        "1", "0.13", "0.33", "2.5", "100",
    ]  # fmt: skip
