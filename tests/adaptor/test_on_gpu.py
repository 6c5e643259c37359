"""What runs per micro-batch and per step neither waits for the GPU nor leaves it; shown without a GPU."""

import argparse

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("megatron.training", reason="megatron-core is not installed")
if torch.version.cuda is None:
    pytest.skip("this torch was built without CUDA", allow_module_level=True)

import numpy as np  # noqa: E402
from megatron.core import mpu  # noqa: E402
from on_gpu import OffGpuError, on_gpu  # noqa: E402

from megatron_proxy.adaptor import embedding, run  # noqa: E402
from megatron_proxy.adaptor.arguments import Settings  # noqa: E402
from megatron_proxy.adaptor.measures import bytes_seen, context, losses, reporting  # noqa: E402
from megatron_proxy.data.sampling.schedule import Schedule  # noqa: E402
from megatron_proxy.vocab import SYMBOL_OFFSET  # noqa: E402

WINDOWS, LENGTH, HIDDEN, IDS = 2, 16, 8, SYMBOL_OFFSET + 4


@pytest.mark.parametrize(
    "leaves",
    [
        lambda x: x.sum().item(),
        lambda x: 1 if (x > 0).any() else 0,
        lambda x: x.tolist(),
        lambda x: x.cpu(),
        lambda x: x[x > 0],
        lambda x: x.masked_fill_(x > 0, 0).nonzero(),
        lambda x: x[x.long()[0]],
        lambda x: x.repeat_interleave(x.long()),
        lambda x: x + torch.ones(4),
        lambda x: torch.tensor([1.0, 2.0], device="cuda"),
        lambda x: x.copy_(torch.empty(4)),
    ],
)
def test_the_watch_sees_what_leaves_the_gpu(leaves):
    with on_gpu(), pytest.raises(OffGpuError):
        leaves(torch.ones(4, device="cuda"))


def batch(dtype=torch.float32, length=LENGTH):
    """Labels, losses and mask of a micro-batch."""
    labels = torch.zeros(WINDOWS, length, dtype=torch.int64, device="cuda")
    return labels, torch.zeros(WINDOWS, length, dtype=dtype, device="cuda"), torch.ones(WINDOWS, length, device="cuda")


@pytest.fixture
def parallel(monkeypatch):
    """Two context-parallel ranks, of which this is the second; collectives that NCCL would take."""

    def all_gather(parts, own, group):
        assert group == "context"
        for tensor in (*parts, own):
            assert tensor.device.type == "cuda"
            assert tensor.is_contiguous()

    monkeypatch.setattr(mpu, "get_context_parallel_world_size", lambda: 2)
    monkeypatch.setattr(mpu, "get_context_parallel_rank", lambda: 1)
    monkeypatch.setattr(mpu, "get_context_parallel_group", lambda: "context")
    monkeypatch.setattr(torch.distributed, "all_gather", all_gather)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("masked", [True, False])
def test_sums_of_a_micro_batch(dtype, masked):
    with on_gpu():
        labels, nats, mask = batch(dtype)
        sums = losses.view_sums(
            labels, nats, mask if masked else None, torch.ones(IDS, dtype=torch.float64, device="cuda")
        )
        assert (sums.dtype, sums.device.type, sums.shape) == (torch.float64, "cuda", (4,))


def test_sums_under_context_parallelism(parallel):
    with on_gpu():
        labels, nats, mask = batch(length=LENGTH // context.ranks())
        labels = torch.empty_like(labels.t(), memory_format=torch.contiguous_format).t()
        assert not labels.is_contiguous()
        assert losses.view_sums(labels, nats, mask, torch.ones(IDS, dtype=torch.float64, device="cuda")).shape == (4,)


class Stock(torch.nn.Module):
    """What the format embedding relies on in Megatron's LanguageModelEmbedding."""

    def __init__(self, dtype):
        super().__init__()
        self.word_embeddings = torch.nn.Embedding(IDS, HIDDEN, dtype=dtype, device="cuda")

    def forward(self, input_ids, position_ids, tokentype_ids=None):
        return self.word_embeddings(input_ids) + self.tokentype_embeddings(tokentype_ids)


def embed(dtype, length):
    """Forward only: torch's autograd engine looks for the GPU itself."""
    module = embedding.with_formats(Stock)(dtype)
    assert {(weight.dtype, weight.device.type) for weight in module.parameters()} == {(dtype, "cuda")}
    embedded = module(batch(length=length)[0], None)
    assert (embedded.dtype, embedded.shape) == (dtype, (WINDOWS, length, HIDDEN))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_format_embedding(dtype):
    with on_gpu():
        embed(dtype, LENGTH)


def test_format_embedding_under_context_parallelism(parallel):
    with on_gpu():
        embed(torch.bfloat16, LENGTH // 2)


class Model(torch.nn.Module):
    """Gives back the losses it is given."""

    def forward(self, nats, labels=None, loss_mask=None):
        return nats


def forward_step(data_iterator, model):
    labels, nats, mask = next(data_iterator)
    output = model(nats, labels=labels, loss_mask=mask)
    return output, lambda output: (output.sum(), mask.sum().int(), {"lm loss": output.sum()})


def forward_backward(report, batches):
    """What Megatron's schedules do with a measured forward step."""
    iterator, reports = iter(batches), []
    for _ in batches:
        output, loss_func = report.meter.measuring(forward_step)(iterator, Model())
        reports.append(loss_func(output)[-1])
    report.meter.collect(reports)


@pytest.fixture
def current():
    args = argparse.Namespace(seq_length=LENGTH, log_interval=100, consumed_train_samples=0)
    return run.Run(args, Settings("trie", Schedule(), 100), [], None, np.ones(IDS))


def test_steps_between_two_log_lines(current):
    with on_gpu() as gpu:
        with gpu.unwatched():
            report = reporting.Report(current)
        for iteration in (1, 2):
            forward_backward(report, [batch(), batch(torch.bfloat16)])
            report.training_step(iteration, skipped=False, first=False)
        report.meter.begin_evaluation()
        forward_backward(report, [batch()])
        assert report.meter.end_evaluation().device.type == "cuda"


def test_collectives_of_a_log_line_get_tensors_on_the_gpu(monkeypatch):
    seen = []
    monkeypatch.setattr(mpu, "is_pipeline_last_stage", lambda ignore_virtual: True)
    monkeypatch.setattr(mpu, "get_data_parallel_group", lambda with_context_parallel: "data and context")
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 1)
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda tensor, group: seen.append((tensor.device.type, group)))
    monkeypatch.setattr(torch.distributed, "broadcast", lambda tensor, src: seen.append((tensor.device.type, src)))
    with on_gpu():
        losses.over_ranks(torch.zeros(4, dtype=torch.float64, device="cuda"))
        with pytest.raises(OffGpuError):
            # Only here the host asks for values.
            bytes_seen.on_every_rank(bytes_seen.BytesSeen(None), 1)
    assert seen == [("cuda", "data and context"), ("cuda", 0)]
