"""What is read from a run's files, against each axis."""

import json
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from report_logs import COLOURED, FLOPS_PER_TOKEN, HEAD, LINES, training, validation

from megatron_proxy.errors import ConfigurationError
from megatron_proxy.tools.report import final_figures, read_run
from megatron_proxy.tools.report.figures import about_table, as_json, table
from megatron_proxy.tools.report.page import page
from megatron_proxy.tools.report.runs import Evaluation, interpolated


def test_a_folder(folder):
    run = read_run(folder)
    assert run.name == "proxy-zstd"
    assert (run.steps, run.tokens) == (40, 40 * 4 * 32)
    assert run.evaluations == {
        "raw": Evaluation(3.1, 40, 0.5),
        "compressed": Evaluation(2.75, 40, 0.5),
    }
    assert [(one.prompt, one.completion) for one in run.generations] == [("def <f>(", "x & \udc80)")]
    assert run.lacks() == []


def test_the_axes(folder):
    run = read_run(folder)
    assert run.points("raw bpb", "steps") == [(10.0, 5.0), (20.0, 4.0), (40.0, 3.0)]
    each = FLOPS_PER_TOKEN * 4 * 32
    assert run.points("raw bpb", "FLOPs") == [(10 * each, 5.0), (20 * each, 4.0), (40 * each, 3.0)]
    assert run.points("raw bpb", "source bytes") == [(4000.0, 5.0), (8000.0, 4.0), (16000.0, 3.0)]
    validated = run.points("raw bpb", "source bytes", validation=True)
    assert validated == [(8000.0, 3.9), (12000.0, 3.5), (16000.0, 3.25)]
    assert run.points("compressed rate", "steps") == [(10.0, 0.4), (20.0, 0.9), (30.0, 0.9), (40.0, 0.9)]


def test_places_between_and_before_the_lines():
    places = [(10, 100.0), (20, 300.0)]
    assert [interpolated(places, i) for i in (5, 10, 15, 20, 25)] == [50.0, 100.0, 200.0, 300.0, 300.0]


def test_final_figures(folder):
    assert final_figures(read_run(folder, "mine")) == {
        "name": "mine",
        "about": {
            "layers": 2,
            "width": 16,
            "heads": 4,
            "window": 32,
            "batch": 4,
            "micro_batch": 2,
            "processes": 2,
            "learning_rate": "0.003 → 0.0003, cosine",
            "compressed_rate": "0.4 → 0.9 → 0.9",
            "steps": 40,
            "planned_steps": 300,
            "data": "0.7 data/a 0.3 data/b",
            "seed": 1234,
            "versions": "megatron_proxy 0.1.0, Megatron-Core 0.19.2, torch 2.9.0, Python 3.12.1",
            "began": "2026-01-02 03:04:05.1",
            "ended": "2026-01-02 03:04:05.1",
        },
        "compressor": "zstd",
        "mode": "sentinel",
        "rate": 0.9,
        "steps": 40,
        "tokens": 5120,
        "flops": float(FLOPS_PER_TOKEN * 5120),
        "parameters": 16200,
        "parameters_without_embeddings": 16200 - 2 * 384 * 16,
        "vocabulary": 330,
        "padded_vocabulary": 384,
        "source_bytes": {"raw": 4000, "compressed": 12000},
        "milliseconds_per_step": 130.0,
        "lm_loss": 2.5,
        "training_bpb": {"raw": 3.0, "compressed": 3.0},
        "validation_bpb": {"raw": 3.25, "compressed": None},
        "held_out_bpb": {"raw": 3.1, "compressed": 2.75},
        "held_out_accuracy": {"raw": 0.5, "compressed": 0.5},
        "lacks": [],
    }


def test_a_table_has_the_rows_that_some_run_has(folder, tmp_path):
    (tmp_path / "plain.log").write_text(" iteration 1/ 2 | consumed samples: 4 | lm loss: 2.0E+00 |\n")
    rows = dict(table([final_figures(read_run(path)) for path in (folder, tmp_path / "plain.log")]))
    assert rows["held-out BPB, raw view"] == ["3.100", "-"]
    assert rows["loss, nats per id"] == ["2.500", "2.000"]
    assert rows["source bytes per token"] == ["3.12", "-"]
    assert rows["mode and rate at the end"] == ["sentinel, 0.9", "-"]
    assert "validation BPB, compressed view" not in rows


def test_what_was_run(folder, tmp_path):
    (tmp_path / "plain.log").write_text(" iteration 1/ 2 | consumed samples: 4 | lm loss: 2.0E+00 |\n")
    rows = dict(about_table([final_figures(read_run(path)) for path in (folder, tmp_path / "plain.log")]))
    assert rows == {
        "layers": ["2", "-"],
        "width": ["16", "-"],
        "attention heads": ["4", "-"],
        "window, ids": ["32", "-"],
        "batch": ["4 windows, 2 at once", "-"],
        "learning rate": ["0.003 → 0.0003, cosine", "-"],
        "compressed rate": ["0.4 → 0.9 → 0.9", "-"],
        "steps": ["40 of 300", "1"],
        "data": ["0.7 data/a 0.3 data/b", "-"],
        "seed": ["1234", "-"],
        "processes": ["2", "-"],
        "versions": ["megatron_proxy 0.1.0, Megatron-Core 0.19.2, torch 2.9.0, Python 3.12.1", "-"],
        "date": ["2026-01-02 03:04 to 2026-01-02 03:04", "-"],
    }


@pytest.mark.parametrize(
    ("name", "given", "key", "told"),
    [
        ("lr_decay_style", "constant", "learning_rate", "0.003, constant"),
        ("proxy_final_rate", "0.5", "compressed_rate", "0.4 → 0.9 → 0.5"),
        ("proxy_compression", "None", "compressed_rate", "none"),
        ("data_path", "None\n  train_data_path ... ['c']", "data", "c"),
        ("data_path", "[[[", "data", "[[["),
        ("mock_data", "True", "data", "mock data"),
    ],
)
def test_other_settings(tmp_path, name, given, key, told):
    head, found = re.subn(rf"(?m)^  {name} \.+ .*$", f"  {name} ... {given}", HEAD)
    assert found == 1
    (tmp_path / "a.log").write_text(head + "\n".join(LINES))
    assert final_figures(read_run(tmp_path))["about"][key] == told


def test_dates_are_those_of_all_starts(tmp_path):
    (tmp_path / "a.log").write_text(HEAD + "\n".join(LINES))
    (tmp_path / "b.log").write_text(HEAD + training(50, 2.0, 0.9).replace("01-02 03:04:05.1", "01-03 00:00:00"))
    assert (read_run(tmp_path).began, read_run(tmp_path).ended) == ("2026-01-02 03:04:05.1", "2026-01-03 00:00:00")


def test_the_colours_of_a_terminal_are_in_no_value(tmp_path):
    (tmp_path / "plain.log").write_text(HEAD + "\n".join(LINES))
    (tmp_path / "coloured.log").write_text(COLOURED)
    assert COLOURED.count("\x1b") > 100
    plain, coloured = (final_figures(read_run(tmp_path / f"{name}.log", "a")) for name in ("plain", "coloured"))
    assert coloured == plain
    assert coloured["flops"] == FLOPS_PER_TOKEN * coloured["tokens"] > 0


def test_a_resumed_run_is_put_together(tmp_path):
    # The second start goes on from iteration 20: what the first had printed after it does not count.
    (tmp_path / "train-0.log").write_text(HEAD + "\n".join([*LINES[:3], training(30, 9.0, 0.9), validation(30, 9.0)]))
    (tmp_path / "train-1.log").write_text(HEAD.replace("330", "331") + "\n".join([training(30, 3.5, 0.9), *LINES[4:]]))
    run = read_run(tmp_path)
    assert run.points("raw bpb", "steps") == [(10, 5.0), (20, 4.0), (30, 3.5), (40, 3.0)]
    assert run.points("raw bpb", "steps", validation=True) == [(20, 3.9), (30, 3.5), (40, 3.25)]
    assert run.settings.vocabulary == 331


@pytest.mark.parametrize("one_file", [True, False])
def test_what_was_validated_after_the_checkpoint_does_not_count(tmp_path, one_file):
    # The first start validated at 30 and died; the second goes on from 20, and has not validated yet.
    first = HEAD + "\n".join([*LINES[:3], training(30, 9.0, 0.9), validation(30, 9.0)]) + "\n"
    second = HEAD + training(25, 3.5, 0.9) + "\n"
    (tmp_path / "train-0.log").write_text(first + second if one_file else first)
    if not one_file:
        (tmp_path / "train-1.log").write_text(second)
    run = read_run(tmp_path)
    assert run.points("raw bpb", "steps") == [(10, 5.0), (20, 4.0), (25, 3.5)]
    assert run.points("raw bpb", "steps", validation=True) == [(20, 3.9)]
    assert final_figures(run)["validation_bpb"]["raw"] == 3.9


def test_a_run_that_diverged_does_not_end_with_its_last_number(tmp_path):
    # As Megatron prints it: NAN where it validates, and where it trains no measures but a count.
    lost = " iteration 30/ 40 | consumed samples: 120 | number of nan iterations:   7 |"
    (tmp_path / "a.log").write_text("\n".join([*LINES[:3], lost, validation(30, "NAN")]) + "\n")
    run = read_run(tmp_path)
    figures = final_figures(run)
    assert dict(table([figures]))["validation BPB, raw view"] == ["nan"]
    assert json.loads(as_json([figures]))[0]["validation_bpb"]["raw"] is None
    assert "NaN" not in as_json([figures])
    assert run.lacks()[0] == "no loss in 7 iterations: it was no number, first by 30"
    assert run.points("raw bpb", "steps", validation=True) == [(20, 3.9)]


def test_of_several_starts_from_the_beginning_the_last_counts(tmp_path):
    late, early = "\n".join(LINES), training(1, 9.0, 0.4).replace("03:04", "02:04")
    (tmp_path / "a.log").write_text(HEAD + late)
    (tmp_path / "b.log").write_text(HEAD + early)
    run = read_run(tmp_path)
    assert run.points("raw bpb", "steps") == [(1, 9.0), (10, 5.0), (20, 4.0), (40, 3.0)]
    (tmp_path / "b.log").write_text(HEAD + early.replace("02:04", "04:04"))
    assert read_run(tmp_path).points("raw bpb", "steps") == [(1, 9.0)]


def test_a_log_without_anything_of_ours_says_so(tmp_path):
    (tmp_path / "plain.log").write_text(" iteration 1/ 2 | consumed samples: 4 | lm loss: 2.0E+00 |\n")
    run = read_run(tmp_path / "plain.log")
    assert run.name == "plain"
    assert [one.split(":")[0] for one in run.lacks()] == [
        "no BPB in the log",
        "no FLOPs",
        "no source bytes in the log",
        "no validation in the log",
        "no evaluation",
    ]
    assert run.points("lm loss", "steps") == [(1.0, 2.0)]
    assert (run.points("lm loss", "FLOPs"), run.tokens, run.flops) == ([], None, None)


def test_nan_is_no_point(tmp_path):
    (tmp_path / "a.log").write_text(" iteration 1/ 2 | raw bpb: nan |\n iteration 2/ 2 | raw bpb: 2.0 |\n")
    assert read_run(tmp_path).points("raw bpb", "steps") == [(2.0, 2.0)]


def test_evaluations_of_other_shapes_are_passed_over(folder):
    broken_ones = ({"bpb": None}, {"bpb": float("nan")}, {"view": "both"}, {"view": []}, {"iteration": "last"})
    for number, broken in enumerate(broken_ones):
        content = {"bpb": 1.0, "view": "raw", "iteration": 99} | broken
        (folder / f"z{number}.json").write_text(json.dumps(content))
    assert read_run(folder).evaluations["raw"].bpb == 3.1


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("gone.log", None, "there is no such file"),
        ("empty.log", b"", "no line of Megatron's training log"),
        ("other.log", b"hello\niteration\n", "no line of Megatron's training log"),
        ("binary.log", b"\x7fELF\0\0", "is no text"),
    ],
)
def test_bad_input(tmp_path, name, content, said):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigurationError, match=said) as caught:
        read_run(tmp_path / name)
    assert name in str(caught.value)


def test_a_folder_without_a_log(tmp_path):
    with pytest.raises(ConfigurationError, match="no line of Megatron's training log"):
        read_run(tmp_path)


def test_files_of_other_kinds_in_a_folder_are_passed_over(folder):
    (folder / "a.out").write_bytes(b"\x7fELF\0iteration")
    (folder / "deep.json").write_text("[" * 200_000)
    (folder / "deep.jsonl").write_text("[" * 200_000)
    (folder / "bad.jsonl").write_bytes(b"\xff\xfe{}")
    assert final_figures(read_run(folder)) == final_figures(read_run(folder, "proxy-zstd"))
    assert len(read_run(folder).generations) == 1


NAMES = ("consumed samples", "raw bpb", "compressed bpb", "raw bytes seen", "compressed bytes seen", "compressed rate")
NUMBERS = st.sampled_from(["0", "-3", "5", "1E+308", "nan", "inf", "2.5", "7e-9", "1" * 400])
FIELDS = st.lists(st.tuples(st.sampled_from(NAMES), NUMBERS), max_size=8)


@pytest.mark.long
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(-1, 40), FIELDS, st.booleans()), min_size=1, max_size=6))
def test_any_numbers_give_a_page_or_a_clear_error(tmp_path_factory, lines):
    path = tmp_path_factory.mktemp("fuzz") / "train.log"
    told = [" | ".join([f"{name}: {number}" for name, number in fields]) for _, fields, _ in lines]
    with path.open("w") as file:
        file.write(HEAD)
        for (iteration, _, validates), text in zip(lines, told, strict=True):
            begin = f"validation loss at iteration {iteration} on" if validates else f"iteration {iteration}/ 40 |"
            file.write(f"{begin} {text} | mode: sentinel |\n")
    try:
        run = read_run(path)
    except ConfigurationError:
        return
    json.dumps(final_figures(run))
    assert "nan," not in page([run], "any")


def test_what_was_asked_for_is_found_once(folder, monkeypatch):
    run = read_run(folder)
    first = run.points("raw bpb", "FLOPs")
    monkeypatch.setattr("megatron_proxy.tools.report.runs._flops", None)
    assert run.points("raw bpb", "FLOPs") is first
    assert run.points("raw bpb", "FLOPs", validation=True) != first
