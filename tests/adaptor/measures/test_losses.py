"""The per-view sums, from labels to bits per byte."""

import math

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("megatron.core", reason="megatron-core is not installed")

from megatron_proxy.adaptor.measures import losses  # noqa: E402
from megatron_proxy.adaptor.measures.losses import Meter  # noqa: E402
from megatron_proxy.errors import UnsupportedError  # noqa: E402
from megatron_proxy.vocab import (  # noqa: E402
    BYTE_OFFSET,
    COMPRESSED_CLOSE,
    COMPRESSED_OPEN,
    EOS,
    PAD,
    RAW_CLOSE,
    RAW_OPEN,
    SYMBOL_OFFSET,
)

A, B = BYTE_OFFSET + 65, BYTE_OFFSET + 66
S, T = SYMBOL_OFFSET, SYMBOL_OFFSET + 1
SOURCE_BYTES = torch.zeros(SYMBOL_OFFSET + 2, dtype=torch.float64)
SOURCE_BYTES[BYTE_OFFSET:SYMBOL_OFFSET] = 1
SOURCE_BYTES[S], SOURCE_BYTES[T] = 3, 5

LABELS = torch.tensor([[RAW_OPEN, A, B, RAW_CLOSE, EOS, COMPRESSED_OPEN, S, A], [T, COMPRESSED_CLOSE, EOS] + [PAD] * 5])
NATS = torch.arange(16, dtype=torch.float32).reshape(2, 8)
MASK = (LABELS != PAD).float()


def test_sums_of_each_view():
    sums = losses.view_sums(LABELS, NATS, MASK, SOURCE_BYTES)
    assert sums.dtype == torch.float64
    assert sums.tolist() == [1 + 2, 2, 6 + 7 + 8, 3 + 1 + 5]


def test_masked_labels_do_not_count_even_if_their_loss_is_nan():
    nats, mask = NATS.clone(), MASK.clone()
    nats[0, 1], mask[0, 1] = math.nan, 0
    assert losses.view_sums(LABELS, nats, mask, SOURCE_BYTES).tolist() == [2, 1, 21, 9]
    assert losses.view_sums(LABELS, NATS, None, SOURCE_BYTES).tolist() == [3, 2, 21, 9]


def test_bits_per_byte():
    sums = torch.tensor([math.log(2) * 6, 2, math.log(2) * 4, 8], dtype=torch.float64)
    assert losses.bits_per_byte(sums) == pytest.approx({"raw bpb": 3.0, "compressed bpb": 0.5})


@pytest.mark.parametrize(
    ("sums", "keys"),
    [
        ([0, 0, 1, 2], ["compressed bpb"]),
        ([1, 2, 0, 0], ["raw bpb"]),
        ([0, 0, 0, 0], []),
        ([math.nan, 2, math.inf, 3], []),
    ],
)
def test_a_view_that_did_not_occur_has_no_figure(sums, keys):
    assert list(losses.bits_per_byte(torch.tensor(sums, dtype=torch.float64))) == keys


class Model(torch.nn.Module):
    """Gives back the losses it is asked for."""

    def forward(self, tokens, position_ids, attention_mask, labels=None, loss_mask=None):
        return tokens


class Wrapper(torch.nn.Module):
    """What Megatron puts around a model."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, *inputs, **kwargs):
        return self.module(*inputs, **kwargs)


def loss_of(mask):
    return lambda output: (output.sum(), mask.sum(), {"lm loss": torch.stack([output.sum(), mask.sum()])})


def forward_step(data_iterator, model):
    """A script's forward step."""
    labels, nats, mask = next(data_iterator)
    return model(nats, None, None, labels=labels, loss_mask=mask), loss_of(mask)


def by_position(data_iterator, model):
    """The forward step of some forks."""
    labels, nats, mask = next(data_iterator)
    return model(nats, None, None, labels, mask), loss_of(mask)


def run(meter, batches, step=forward_step, at=0, model=None):
    """What Megatron's schedules do: one report per micro-batch."""
    model, iterator, reports = model or Model(), iter(batches), []
    meter.begin_pass(at)
    for _ in batches:
        output, loss_func = meter.measuring(step)(iterator, model)
        reports.append(loss_func(output)[-1])
    assert not model._forward_pre_hooks
    return reports


def taken(meter):
    meter.end_pass()
    return meter.sums.take().tolist()


def test_a_meter_adds_micro_batches_up_and_leaves_the_report_alone():
    meter = Meter(SOURCE_BYTES, 8)
    reports = run(meter, [(LABELS, NATS, MASK), (LABELS, NATS, MASK)])
    assert [list(report) for report in reports] == [["lm loss"], ["lm loss"]]
    assert taken(meter) == [6, 4, 42, 18]
    assert taken(meter) == [0, 0, 0, 0]


@pytest.mark.parametrize("model", [Model(), Wrapper(Wrapper(Model()))])
def test_labels_may_be_given_by_position(model):
    meter = Meter(SOURCE_BYTES, 8)
    nats, mask = NATS.clone(), MASK.clone()
    nats[0, 1], mask[0, 1] = math.nan, 0
    run(meter, [(LABELS, nats, mask)], by_position, model=model)
    assert taken(meter) == [2, 1, 21, 9]


def test_a_forward_pass_run_again_counts_once():
    meter = Meter(SOURCE_BYTES, 8)
    for _ in range(3):
        run(meter, [(LABELS, NATS, MASK)])
    assert taken(meter) == [3, 2, 21, 9]


def test_an_evaluation_is_counted_over_all_its_steps():
    meter = Meter(SOURCE_BYTES, 8)
    for step in range(3):
        run(meter, [(LABELS, NATS, MASK)], at=step)
    assert taken(meter) == [9, 6, 63, 27]


def test_a_step_of_an_evaluation_that_is_run_again_counts_once():
    meter = Meter(SOURCE_BYTES, 8)
    # As with --moe-expert-rank-capacity-factor, where too many tokens were dropped at the first try.
    for step, nats in ((0, 100 * NATS), (0, NATS), (4, NATS)):
        run(meter, [(LABELS, nats, MASK)], at=step)
    assert taken(meter) == [6, 4, 42, 18]


def test_windows_laid_end_to_end_are_parted():
    # Together, the second window's first label would look as if the first window's last sentinel had opened its view.
    labels = torch.tensor([[COMPRESSED_OPEN, S, S, S, A, A, RAW_CLOSE, EOS]])
    meter = Meter(SOURCE_BYTES, 4)
    run(meter, [(labels, torch.ones(1, 8), torch.ones(1, 8))])
    assert taken(meter) == [2, 2, 3, 9]


def test_what_was_put_by_is_a_copy():
    meter = Meter(SOURCE_BYTES, 8)
    batch = LABELS.clone(), NATS.clone(), MASK.clone()
    run(meter, [batch])
    for tensor in batch:
        tensor.zero_()
    assert taken(meter) == [3, 2, 21, 9]


def test_micro_batches_of_many_passes_are_summed_together(monkeypatch):
    windows, view_sums = [], losses.view_sums
    monkeypatch.setattr(losses, "_AT_ONCE", 3 * LABELS.numel())
    monkeypatch.setattr(losses, "view_sums", lambda *batch: (windows.append(len(batch[0])), view_sums(*batch))[1])
    meter = Meter(SOURCE_BYTES, 8)
    for masks in ([MASK, None], [MASK], [MASK, MASK]):
        run(meter, [(LABELS, NATS, mask) for mask in masks], without_mask)
        meter.end_pass()
    assert windows == [6]
    assert meter.sums.take().tolist() == [15, 10, 105, 45]
    assert windows == [6, 4]
    assert meter.sums.take().tolist() == [0, 0, 0, 0]


def without_mask(data_iterator, model):
    labels, nats, mask = next(data_iterator)
    return model(nats, None, None, labels=labels, loss_mask=mask), loss_of(MASK)


@pytest.mark.parametrize("output", [NATS.sum(), (NATS, NATS)])
def test_losses_that_are_not_one_for_each_label_are_refused(output):
    def summing(data_iterator, model):
        model(NATS, None, None, labels=LABELS)
        return output, lambda output: (0, {"lm loss": 0})

    with pytest.raises(UnsupportedError, match="does not give back one loss for each label"):
        run(Meter(SOURCE_BYTES, 8), [None], summing)


def test_other_pipeline_stages_and_other_calls_pass_through():
    meter = Meter(SOURCE_BYTES, 8)
    assert run(meter, [(None, NATS, MASK)])[0].keys() == {"lm loss"}

    def collecting(data_iterator, model):
        output, _ = forward_step(data_iterator, model)
        return output, lambda output, non_loss_data=False: {"anything": 1}

    output, loss_func = meter.measuring(collecting)(iter([(LABELS, NATS, MASK)]), Model())
    assert loss_func(output, non_loss_data=True) == {"anything": 1}
    assert not meter.measured
    assert taken(meter) == [0, 0, 0, 0]
