"""What the hooks add to Megatron's log lines and writers, with Megatron's functions played by small ones."""

import argparse
import json
import math

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("megatron.training", reason="megatron-core is not installed")

from megatron.training import global_vars  # noqa: E402
from megatron.training import training as stock  # noqa: E402

from megatron_proxy.adaptor import run  # noqa: E402
from megatron_proxy.adaptor.arguments import Settings  # noqa: E402
from megatron_proxy.adaptor.checks import swapped  # noqa: E402
from megatron_proxy.adaptor.measures import bytes_seen, losses, metrics, reporting  # noqa: E402
from megatron_proxy.data.sampling.schedule import Schedule  # noqa: E402
from megatron_proxy.tools.report.training_log import parse  # noqa: E402
from megatron_proxy.vocab import BYTE_OFFSET, COMPRESSED_OPEN, RAW_OPEN, SYMBOL_OFFSET  # noqa: E402

RAW = torch.tensor([[RAW_OPEN, BYTE_OFFSET, BYTE_OFFSET, BYTE_OFFSET]])
COMPRESSED = torch.tensor([[COMPRESSED_OPEN, SYMBOL_OFFSET, SYMBOL_OFFSET, SYMBOL_OFFSET]])


class Writer(list):
    """Stands for TensorBoard and for W&B."""

    def add_scalar(self, key, value, step):
        self.append((key, value, step))

    def log(self, values, step):
        self.append((values, step))


class Model(torch.nn.Module):
    def forward(self, losses, labels=None):
        return losses


class Megatron:
    """The functions of Megatron's training loop that are hooked, and what they print."""

    def __init__(self):
        self.lines = []
        self.print_rank_last = reporting.extend_line(self.lines.append)
        self.get_forward_backward_func = reporting.measure_views(lambda: self._forward_backward)
        self.training_log = reporting.log_training(self._training_log)
        self.evaluate = reporting.log_evaluation(self._evaluate_stock)

    def _forward_backward(self, *, forward_step_func, model, data_iterator):
        reports = []
        for batch in data_iterator:
            output, loss_func = forward_step_func(iter([batch]), model)
            reports.append(loss_func(output)[-1])
        return reports

    def _training_log(self, loss_dict, iteration, skipped_iter, is_first_iteration=False):
        if iteration % 2 == 0 or is_first_iteration:
            self.print_rank_last(f" [now] iteration {iteration:8d}/      10 | lm loss: 1.0E+00 |")
        self.print_rank_last("other words")
        return "returned"

    def _evaluate_stock(self, forward_step_func, data_iterator, model, *_, **__):
        func = self.get_forward_backward_func()
        reports = []
        for tries in data_iterator:
            # A pass that is run again is given the same samples.
            passes = tries if isinstance(tries[0], list) else [tries]
            given = {"forward_step_func": forward_step_func, "model": Model()}
            reports.extend([func(**given, data_iterator=data) for data in passes])
            run.current().args.consumed_valid_samples += 4
        return ({"lm loss": torch.tensor(1.0)} if reports else {}), None, False

    def step(self, iteration, batches, skipped=0, first=False):
        func = self.get_forward_backward_func()
        func(forward_step_func=forward_step, model=Model(), data_iterator=batches)
        run.current().args.consumed_train_samples += 4
        return self.training_log({}, iteration, skipped, is_first_iteration=first)


def forward_step(data_iterator, model):
    labels, nats = next(data_iterator)
    return model(torch.full(labels.shape, nats), labels=labels), lambda output: (
        output.sum(),
        {"lm loss": output.sum()},
    )


@pytest.fixture
def megatron(monkeypatch):
    args = argparse.Namespace(
        proxy_compression="trie",
        seq_length=4,
        log_interval=2,
        tensorboard_log_interval=1,
        tensorboard_dir="board",
        consumed_train_samples=0,
        consumed_valid_samples=0,
    )
    source_bytes = torch.ones(SYMBOL_OFFSET + 1, dtype=torch.float64)
    source_bytes[SYMBOL_OFFSET] = 2.0
    current = run.Run(args, Settings("trie", Schedule(), 100), [], None, source_bytes.numpy())
    monkeypatch.setattr(run, "_current", current)
    monkeypatch.setattr(global_vars, "_GLOBAL_ARGS", args)
    monkeypatch.setattr(swapped, "check_once", lambda *_: None)
    monkeypatch.setattr(losses, "over_ranks", lambda sums: sums.clone())
    monkeypatch.setattr(swapped, "check_measured", lambda *_: None)
    monkeypatch.setattr(bytes_seen, "for_last_rank", lambda seen, samples: DOUBLE([samples * 10, samples * 30]))
    monkeypatch.setattr(bytes_seen, "is_last_rank", lambda: True)
    # Without the stand-in for a GPU there is no device "cuda" here.
    monkeypatch.setattr(reporting.torch, "tensor", lambda data, device=None, **rest: TENSOR(data, **rest))
    monkeypatch.setattr(reporting.torch, "zeros", lambda *shape, device=None, **rest: ZEROS(*shape, **rest))
    monkeypatch.setattr(global_vars, "_GLOBAL_TENSORBOARD_WRITER", Writer())
    monkeypatch.setattr(global_vars, "_GLOBAL_WANDB_WRITER", Writer())
    return Megatron()


TENSOR, ZEROS, DOUBLE = torch.tensor, torch.zeros, torch.DoubleTensor
BIT = math.log(2)


def test_a_line_holds_the_exact_means_of_its_interval(megatron):
    assert megatron.step(1, [(RAW, BIT)]) == "returned"
    megatron.step(2, [(RAW, 3 * BIT), (RAW, 3 * BIT)])
    lines = [line for line in megatron.lines if "iteration" in line]
    assert len(lines) == 1
    values = parse(lines).training[0].values
    assert values == {
        "lm loss": 1.0,
        "raw bpb": pytest.approx((3 * 1 + 6 * 3) / 9, rel=1e-6),
        "compressed rate": pytest.approx(0.6),
        "raw bytes seen": 80,
        "compressed bytes seen": 240,
        "raw share": 0.25,
    }
    assert lines[0].endswith(" mode: translation_random |")
    assert megatron.lines.count("other words") == 2


def test_an_interval_without_a_view_prints_nothing_for_it(megatron):
    megatron.step(1, [(RAW, BIT)])
    megatron.step(2, [(COMPRESSED, BIT)])
    megatron.step(3, [(COMPRESSED, BIT)])
    megatron.step(4, [(COMPRESSED, 2 * BIT)])
    first, second = (entry.values for entry in parse(megatron.lines).training)
    assert (first["raw bpb"], first["compressed bpb"]) == pytest.approx((1.0, 0.5))
    assert "raw bpb" not in second
    assert second["compressed bpb"] == pytest.approx(0.75)


def test_a_skipped_step_does_not_count(megatron):
    megatron.step(1, [(RAW, BIT)])
    megatron.step(2, [(RAW, 9 * BIT)], skipped=1)
    assert parse(megatron.lines).training[0].values["raw bpb"] == pytest.approx(1.0)


def test_the_line_after_the_first_step_begins_no_new_interval(megatron):
    megatron.step(1, [(RAW, BIT)], first=True)
    megatron.step(2, [(RAW, 3 * BIT)])
    assert [entry.values["raw bpb"] for entry in parse(megatron.lines).training] == pytest.approx([1.0, 2.0])


def test_a_restart_within_the_process_begins_anew(megatron):
    megatron.step(1, [(RAW, BIT)], first=True)
    megatron.step(2, [(RAW, 3 * BIT)])
    megatron.step(3, [(RAW, 100 * BIT)])
    # Rolled back to the checkpoint after the second step.
    megatron.step(3, [(RAW, 5 * BIT)], first=True)
    megatron.step(4, [(RAW, 7 * BIT)])
    found = [entry.values["raw bpb"] for entry in parse(megatron.lines).training]
    assert found == pytest.approx([1.0, 2.0, 5.0, 6.0])


def test_other_ranks_write_and_print_nothing(megatron, monkeypatch):
    monkeypatch.setattr(bytes_seen, "is_last_rank", lambda: False)
    megatron.step(2, [(RAW, BIT)])
    assert megatron.lines[0].endswith(" lm loss: 1.0E+00 |")
    assert global_vars._GLOBAL_TENSORBOARD_WRITER == global_vars._GLOBAL_WANDB_WRITER == []


def test_writers_get_every_step(megatron):
    megatron.step(1, [(RAW, BIT)])
    megatron.step(2, [(COMPRESSED, BIT)])
    board, wandb = global_vars._GLOBAL_TENSORBOARD_WRITER, global_vars._GLOBAL_WANDB_WRITER
    written = {(key, step): value for key, value, step in board}
    assert written["raw bpb", 1] == written["raw bpb vs samples", 4] == pytest.approx(1.0)
    assert written["compressed bpb", 2] == pytest.approx(0.5)
    assert ("raw bpb", 2) not in written
    assert [step for _, step in wandb] == [1, 2]
    assert wandb[0][0] == {
        "raw bpb": pytest.approx(1.0),
        "compressed rate": pytest.approx(0.5),
        "raw bytes seen": 40,
        "compressed bytes seen": 120,
        "raw share": 0.25,
    }


@pytest.fixture
def validate(megatron, monkeypatch):
    """Megatron's own ``evaluate_and_print_results`` over these sets, asked for every figure that it can derive."""
    monkeypatch.setattr(stock, "evaluate", reporting.log_evaluation(megatron._evaluate_stock))
    monkeypatch.setattr(stock, "print_rank_last", megatron.print_rank_last)
    monkeypatch.setattr(stock, "is_last_rank", lambda: True)
    args = run.current().args
    vars(args).update(log_validation_ppl_to_tensorboard=True, eval_iters=1, full_validation=False)
    vars(args).update(consumed_train_samples=24, validation_set_names=None)

    def validate(*sets, written=True, names=None):
        args.multiple_validation_sets, args.validation_set_names = len(sets) > 1, names
        args.eval_iters = [1] * len(sets) if len(sets) > 1 else 1
        reporting.log_validation(stock.evaluate_and_print_results)(
            *("iteration 6 on test set", forward_step, list(sets) if len(sets) > 1 else sets[0], [Model()], 6),
            *(None, None),
            write_to_tensorboard=written,
        )
        return [line for line in megatron.lines if "loss at" in line]

    return validate


def test_a_step_of_an_evaluation_that_is_run_again_counts_once(megatron, validate):
    (line,) = validate([[[(RAW, 9 * BIT)], [(RAW, BIT)]], [(RAW, 2 * BIT)]])
    assert "raw bpb value: 1.500000E+00 | " in line


def test_a_validation_has_the_views_beside_megatrons_losses(megatron, validate):
    (line,) = validate([[(RAW, BIT)], [(RAW, 2 * BIT), (COMPRESSED, BIT)]])
    assert line == (
        " validation loss at iteration 6 on test set | lm loss value: 1.000000E+00 | lm loss PPL: 2.718282E+00 | "
        "raw bpb value: 1.500000E+00 | compressed bpb value: 5.000000E-01 | "
    )
    # The lines around it are what they were.
    assert set(megatron.lines[0]) == set(megatron.lines[2]) == {"-"}


def test_nothing_is_derived_from_bits(validate):
    (line,) = validate([[(RAW, BIT), (COMPRESSED, BIT)]])
    assert line.count("PPL") == line.count("lm loss PPL") == 1
    board, wandb = global_vars._GLOBAL_TENSORBOARD_WRITER, global_vars._GLOBAL_WANDB_WRITER
    losses_written = {"lm loss validation": 1.0, "lm loss validation ppl": pytest.approx(math.e)}
    bits = {"raw bpb validation": pytest.approx(1.0), "compressed bpb validation": pytest.approx(0.5)}
    assert {key: value for key, value, step in board if step == 6} == losses_written | bits
    assert {key: value for key, value, step in board if step == 24} == {
        f"{key} vs samples": value for key, value in (losses_written | bits).items()
    }
    assert {key: value for values, _ in wandb for key, value in values.items()} == {"lm loss validation": 1.0} | bits


def test_each_set_of_several_has_its_own(validate):
    lines = validate([[(RAW, BIT)]], [[(RAW, 3 * BIT)]])
    assert ["raw bpb value: 1.0" in lines[0], "raw bpb value: 3.0" in lines[1]] == [True, True]
    validate([[(RAW, BIT)]], [[(RAW, 2 * BIT)]], names=["code", "text"])
    written = {key: value for key, value, step in global_vars._GLOBAL_TENSORBOARD_WRITER if step == 6}
    assert {key: value for key, value in written.items() if "bpb" in key} == pytest.approx(
        {
            "raw bpb validation-0": 1.0,
            "raw bpb validation-1": 3.0,
            "raw bpb validation-code": 1.0,
            "raw bpb validation-text": 2.0,
        }
    )


def test_a_stage_without_losses_and_a_validation_that_is_not_written(validate):
    assert validate([])[-1] == " validation loss at iteration 6 on test set | "
    assert "raw bpb value: 1.0" in validate([[(RAW, BIT)]], written=False)[-1]
    assert not [key for key, *_ in global_vars._GLOBAL_TENSORBOARD_WRITER if "bpb" in key]


@pytest.fixture
def recorded(megatron, tmp_path):
    """The records of a run that is named a file, in a folder that is not there yet."""
    path = tmp_path / "new" / "metrics.jsonl"
    args, current = run.current().args, run.current()
    vars(args).update(proxy_metrics=str(path), save=str(tmp_path / "save"), padded_vocab_size=384)
    vars(args).update(tensor_model_parallel_size=1, pipeline_model_parallel_size=1)
    current.tokenizer = argparse.Namespace(vocab_size=330)
    return lambda: [json.loads(line, parse_constant=pytest.fail) for line in path.read_text().splitlines()]


def test_a_line_is_recorded_unrounded(megatron, recorded):
    megatron.step(1, [(RAW, BIT / 3)])
    megatron.step(2, [(RAW, 2 * BIT / 3)])
    begun, line = recorded()
    assert (begun["record"], begun["vocabulary"], begun["padded_vocabulary"]) == ("run", 330, 384)
    assert begun["versions"].startswith("megatron_proxy ")
    assert (begun["arguments"]["seq_length"], begun["arguments"]["proxy_compression"]) == ("4", "trie")
    assert (line["record"], line["iteration"], line["mode"]) == ("training", 2, "translation_random")
    bpb = line["values"].pop("raw bpb")
    assert bpb == pytest.approx(0.5, rel=1e-8)
    assert bpb != float(f"{bpb:.6E}")
    assert line["values"] == {
        "lm loss": 1.0,
        "compressed rate": run.current().settings.mix(8).rate,
        "raw bytes seen": 80,
        "compressed bytes seen": 240,
        "raw share": 0.25,
    }


def test_a_validation_is_recorded(megatron, validate, recorded):
    validate([[(RAW, BIT)], [(RAW, 2 * BIT), (COMPRESSED, BIT)]])
    begun, line = recorded()
    assert begun["record"] == "run"
    assert (line["record"], line["iteration"], line["mode"]) == ("test", 6, "sentinel")
    assert line["values"] == pytest.approx(
        {"consumed samples": 24, "lm loss": 1.0, "raw bpb": 1.5, "compressed bpb": 0.5, "compressed rate": 0.9}
    )


def test_records_are_beside_the_checkpoint_or_nowhere(megatron, recorded, tmp_path):
    args = run.current().args
    args.proxy_metrics = None
    megatron.step(2, [(RAW, BIT)])
    assert len((tmp_path / "save" / "proxy-metrics.jsonl").read_text().splitlines()) == 2
    run.current().report, args.save = None, None
    megatron.step(4, [(RAW, BIT)])
    assert [path.name for path in tmp_path.iterdir()] == ["save"]


def test_records_go_on_behind_half_a_line(megatron, recorded, tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "metrics.jsonl").write_text('{"record": "run"}\n{"rec')
    megatron.step(2, [(RAW, BIT)])
    lines = (tmp_path / "new" / "metrics.jsonl").read_text().splitlines()
    assert lines[:2] == ['{"record": "run"}', '{"rec']
    assert [json.loads(line)["record"] for line in lines[2:]] == ["run", "training"]


def test_a_figure_that_is_no_number_is_null():
    record = json.loads(
        metrics._record("training", values={"a": math.nan, "b": math.inf, "c": 1}), parse_constant=pytest.fail
    )
    assert record["values"] == {"a": None, "b": None, "c": 1}


def test_parameters_are_counted_where_the_rank_has_them_all(megatron, recorded):
    chunks = [torch.nn.Linear(2, 3), torch.nn.Linear(1, 1)]
    found = metrics.Metrics(run.current())
    found.see(chunks)
    assert found._parameters == 11
    run.current().args.pipeline_model_parallel_size = 2
    split = metrics.Metrics(run.current())
    split.see(chunks)
    assert split._parameters is None


def test_records_that_cannot_be_written_end_no_run(megatron, recorded, tmp_path, capsys):
    (tmp_path / "new").write_text("a file")
    megatron.step(2, [(RAW, BIT)])
    megatron.step(4, [(RAW, BIT)])
    assert capsys.readouterr().out.count("warning: no metrics are written") == 1
    assert len(parse(megatron.lines).training) == 2


def test_other_ranks_record_nothing(megatron, recorded, monkeypatch, tmp_path):
    monkeypatch.setattr(bytes_seen, "is_last_rank", lambda: False)
    megatron.step(2, [(RAW, BIT)])
    assert list(tmp_path.iterdir()) == []


def test_megatrons_figures_are_recorded_as_it_was_given_them():
    sums = {"advanced iterations": 2, "lm loss": torch.tensor([4.0]), "nan iterations": 0}
    given = {"loss_dict": {"lm loss": torch.tensor(3.0)}, "total_loss_dict": sums, "skipped_iter": 0}
    known = metrics.given_to_log({**given, "learning_rate": 1 / 3, "grad_norm": 0.12345, "params_norm": None})
    assert known == pytest.approx({"lm loss": 7 / 3, "learning rate": 1 / 3, "grad norm": 0.12345}, rel=1e-6)
    assert metrics.given_to_log({**given, "skipped_iter": 1}) == {"lm loss": 2.0}
    message = (
        " [2026-01-02 03:04:05.1] iteration 3/ 9 | consumed samples:           12 | grad norm: 0.123 | lm loss: 9E+00 |"
    )
    # What does not round to what was printed is something else.
    assert metrics._unrounded(message, known) == {
        "consumed samples": 12,
        "grad norm": 0.12345,
        "lm loss": 9.0,
    }


def test_without_the_flag_all_is_stock(megatron, monkeypatch):
    run.current().args.proxy_compression = None
    assert run.active() is None
    stock = object()
    assert reporting.measure_views(lambda: stock)() is stock
    assert megatron.training_log({}, 2, 0) == "returned"
    assert megatron.lines[0] == " [now] iteration        2/      10 | lm loss: 1.0E+00 |"
    assert megatron.evaluate(None, [], None) == ({}, None, False)
