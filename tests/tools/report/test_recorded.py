"""What a run has recorded of itself is read instead of its log, and says the same."""

import json

import pytest
from report_logs import FLOPS_PER_TOKEN, HEAD, LINES

from megatron_proxy.errors import ConfigurationError
from megatron_proxy.tools.report import final_figures, read_run
from megatron_proxy.tools.report.figures import as_json
from megatron_proxy.tools.report.settings import parse as parse_settings
from megatron_proxy.tools.report.training_log import parse

SETTINGS = parse_settings(HEAD.splitlines())


def beginning(**others):
    told = {"versions": SETTINGS.versions, "vocabulary": 330, "padded_vocabulary": 384, "parameters": 16200}
    return {"record": "run", "time": "2026-01-02 03:04:04", "arguments": SETTINGS.arguments} | told | others


def line(kind, iteration, mode="sentinel", **values):
    values = {name.replace("_", " "): value for name, value in values.items()}
    time = "2026-01-02 03:04:05.1"
    return {"record": kind, "time": time, "iteration": iteration, "mode": mode, "values": values}


def write(path, *records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def test_records_say_what_the_log_says(folder, tmp_path):
    log = parse(LINES)
    records = [
        {"record": kind, "time": "2026-01-02 03:04:05.1", "iteration": e.iteration, "mode": e.mode, "values": e.values}
        for kind, entries in (("training", log.training), ("validation", log.validation))
        for e in entries
    ]
    logged = final_figures(read_run(folder))
    (folder / "checkpoint").mkdir()
    write(folder / "checkpoint" / "proxy-metrics.jsonl", beginning(), *records)
    # The log is not read: what it says now is in no figure.
    text = (folder / "train.log").read_text()
    (folder / "train.log").write_text(text.replace("lm loss: 2.5E+00", "lm loss: 9.5E+00"))
    assert final_figures(read_run(folder)) == logged
    assert logged["flops"] == FLOPS_PER_TOKEN * logged["tokens"]
    alone = read_run(folder / "checkpoint" / "proxy-metrics.jsonl", "proxy-zstd")
    assert final_figures(alone)["training_bpb"] == logged["training_bpb"]


def test_figures_are_not_rounded(tmp_path):
    write(tmp_path / "any.jsonl", beginning(), line("training", 10, raw_bpb=1 / 3, consumed_samples=40))
    run = read_run(tmp_path)
    assert run.points("raw bpb", "steps") == [(10.0, 1 / 3)]
    assert (run.tokens, run.began) == (40 * 32, "2026-01-02 03:04:05.1")


def test_later_records_win(tmp_path):
    first = [line("training", at, raw_bpb=float(at)) for at in (10, 20, 30)]
    path = tmp_path / "proxy-metrics.jsonl"
    write(path, beginning(), *first, line("validation", 30, raw_bpb=9.0), beginning(vocabulary=331))
    again = [line("training", 20, raw_bpb=7.0), line("training", 20, raw_bpb=8.0), line("test", 20, raw_bpb=1.0)]
    with path.open("a") as file:
        file.write('{"record": "trai\n\n' + "".join(json.dumps(one) + "\n" for one in again))
    run = read_run(tmp_path)
    assert run.points("raw bpb", "steps") == [(10, 10.0), (20, 8.0)]
    assert (run.points("raw bpb", "steps", validation=True), run.settings.vocabulary) == ([], 331)


def test_a_figure_that_is_no_number_is_told(tmp_path):
    write(tmp_path / "a.jsonl", beginning(), line("training", 10, raw_bpb=2.0), line("validation", 10, raw_bpb=None))
    figures = final_figures(read_run(tmp_path))
    assert figures["validation_bpb"]["raw"] != figures["validation_bpb"]["raw"]
    assert json.loads(as_json([figures]))[0]["validation_bpb"]["raw"] is None


def test_records_without_training_leave_the_log_to_be_read(folder):
    write(folder / "proxy-metrics.jsonl", beginning(), line("validation", 10, raw_bpb=2.0))
    assert read_run(folder).points("raw bpb", "steps")[0] == (10.0, 5.0)


def test_records_of_other_shapes_are_passed_over(tmp_path):
    odd = [{"record": "run", "arguments": 3, "versions": [], "vocabulary": "x"}]
    odd += [line("training", "x"), {"record": "training", "iteration": 5, "values": 3}, line("training", 5, a="b")]
    write(tmp_path / "a.jsonl", *odd)
    run = read_run(tmp_path)
    assert (run.steps, run.log.training[0].values, run.settings.versions) == (5, {}, None)
    write(tmp_path / "a.jsonl", *odd[:2])
    with pytest.raises(ConfigurationError, match="no line of Megatron's training log"):
        read_run(tmp_path / "a.jsonl")
