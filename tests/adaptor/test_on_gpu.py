"""What runs per micro-batch and per step neither waits for the GPU nor leaves it; shown without a GPU."""

import argparse
import contextlib

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("megatron.training", reason="megatron-core is not installed")
if torch.version.cuda is None:
    pytest.skip("this torch was built without CUDA", allow_module_level=True)

import numpy as np  # noqa: E402
from megatron.core.models.common.embeddings import language_model_embedding  # noqa: E402
from megatron.core.transformer.module import Float16Module  # noqa: E402
from megatron.core.transformer.transformer_config import TransformerConfig  # noqa: E402
from on_gpu import Host, OffGpuError, a_rank_of, on_gpu  # noqa: E402

from megatron_proxy.adaptor import embedding, run  # noqa: E402
from megatron_proxy.adaptor.arguments import Settings  # noqa: E402
from megatron_proxy.adaptor.measures import bytes_seen, context, losses, reporting  # noqa: E402
from megatron_proxy.data.sampling.schedule import Schedule  # noqa: E402
from megatron_proxy.vocab import SYMBOL_OFFSET  # noqa: E402

# Of Megatron's own configuration, which still sets what it has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:full scope is deprecated")

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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("masked", [True, False])
def test_sums_of_a_micro_batch(dtype, masked):
    with on_gpu():
        labels, nats, mask = batch(dtype)
        sums = losses.view_sums(
            labels, nats, mask if masked else None, torch.ones(IDS, dtype=torch.float64, device="cuda")
        )
        assert (sums.dtype, sums.device.type, sums.shape) == (torch.float64, "cuda", (4,))


def test_sums_under_context_parallelism():
    with a_rank_of(2, rank=1, context_parallel_size=2), on_gpu() as gpu:
        labels, nats, mask = batch(length=LENGTH // context.ranks())
        labels = torch.empty_like(labels.t(), memory_format=torch.contiguous_format).t()
        assert not labels.is_contiguous()
        assert losses.view_sums(labels, nats, mask, torch.ones(IDS, dtype=torch.float64, device="cuda")).shape == (4,)
        # NCCL takes contiguous tensors only, and one tensor for all ranks without a copy.
        assert gpu.collectives == ["_allgather_base_"]


@pytest.fixture
def megatron_embedding(monkeypatch):
    """Megatron's embedding where there is no GPU: what it does with words and with random numbers is its own affair."""
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    tensor_parallel = language_model_embedding.tensor_parallel
    tracker = argparse.Namespace(fork=contextlib.nullcontext)
    monkeypatch.setattr(tensor_parallel, "get_cuda_rng_tracker", lambda: tracker)
    stock = tensor_parallel.VocabParallelEmbedding.forward

    def make(gpu, kind, dtype, **settings):
        def forward(*args):
            with gpu.unwatched():
                return stock(*args)

        monkeypatch.setattr(tensor_parallel.VocabParallelEmbedding, "forward", forward)
        config = TransformerConfig(
            num_layers=1,
            hidden_size=HIDDEN,
            num_attention_heads=2,
            hidden_dropout=0.0,
            params_dtype=dtype,
            perform_initialization=False,
            bf16=dtype is torch.bfloat16,
            **settings.pop("config", {}),
        )
        # Megatron makes the table of positions on the host and moves the whole model.
        with torch.device("cuda"):
            return kind(config, 2 * IDS, LENGTH, **settings)

    return make


ROPE = {"position_embedding_type": "rope"}
TWO = {"tensor_model_parallel_size": 2}
SEQUENCE = ROPE | {"config": TWO | {"sequence_parallel": True}}
MODES = {
    "plain": (1, {}, ROPE),
    "learned positions": (1, {}, {}),
    "tensor": (2, TWO, ROPE | {"config": TWO}),
    "sequence": (2, TWO, SEQUENCE),
    "sequence, learned positions": (2, TWO, {"config": SEQUENCE["config"]}),
    "context": (2, {"context_parallel_size": 2}, ROPE | {"config": {"context_parallel_size": 2}}),
    "context and sequence": (4, TWO | {"context_parallel_size": 2}, SEQUENCE),
    "multi-token prediction": (1, {}, ROPE | {"config": {"mtp_num_layers": 1}}),
}
"""Ranks, their groups, and how the embedding is made."""


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("world", "groups", "settings"), MODES.values(), ids=MODES)
def test_format_embedding(megatron_embedding, dtype, world, groups, settings):
    """Forward only: torch's autograd engine looks for the GPU itself."""
    stock = language_model_embedding.LanguageModelEmbedding
    seen = []
    with a_rank_of(world, rank=world - 1, **groups), on_gpu() as gpu:
        ids = batch(length=LENGTH // context.ranks())[0]
        for kind in (stock, embedding.with_formats(stock)):
            with gpu.unwatched():
                module = megatron_embedding(gpu, kind, dtype, **settings)
            gpu.kernels.clear()
            gpu.collectives.clear()
            embedded = module(ids, ids)
            seen.append((embedded.dtype, embedded.shape, len(gpu.kernels), list(gpu.collectives)))
        marked = module.tokentype_embeddings.weight.sequence_parallel
    (dtype, shape, kernels, collectives), ours = seen
    assert ours[:2] == (dtype, shape)
    # Words are scattered as without formats; only context parallelism has to bring windows together.
    assert ours[3] == ["_allgather_base_"] * ("context_parallel_size" in groups) + collectives
    assert marked == ("_reduce_scatter_base_" in collectives)
    shifted = "mtp_num_layers" in settings.get("config", {})
    assert ours[2] - kernels <= (38 if shifted else 12 + 3 * ("context_parallel_size" in groups))


def test_gradient_of_the_format_embedding():
    with on_gpu() as gpu:
        formats = torch.ones(WINDOWS, LENGTH, dtype=torch.int64, device="cuda")
        gradient = torch.ones(LENGTH, WINDOWS, HIDDEN, dtype=torch.bfloat16, device="cuda").transpose(0, 1)
        saved = argparse.Namespace(saved_tensors=(formats,), formats=embedding.FORMATS)
        gpu.kernels.clear()
        found, _ = embedding._Vectors.backward(saved, gradient)
        assert (found.shape, found.dtype) == ((embedding.FORMATS, HIDDEN), torch.bfloat16)
        assert len(gpu.kernels) <= 6


class Model(torch.nn.Module):
    """Gives back the losses it is given."""

    def forward(self, nats, labels=None, loss_mask=None):
        return nats


def forward_step(data_iterator, model):
    labels, nats, mask = next(data_iterator)
    output = model(nats, labels=labels, loss_mask=mask)
    return output, lambda output: (output.sum(), mask.sum().int(), {"lm loss": output.sum()})


def by_position(data_iterator, model):
    labels, nats, mask = next(data_iterator)
    return model(nats, labels, mask), lambda output: (output.sum(), {"lm loss": output.sum()})


def forward_backward(report, batches, step=forward_step, model=None, at=0):
    """What Megatron's schedules do with a measured forward step."""
    report.meter.begin_pass(at)
    iterator, model = iter(batches), model or Model()
    for _ in batches:
        output, loss_func = report.meter.measuring(step)(iterator, model)
        loss_func(output)


@pytest.fixture
def current():
    args = argparse.Namespace(
        seq_length=LENGTH,
        log_interval=100,
        consumed_train_samples=0,
        tensorboard_dir="board",
        tensorboard_log_interval=100,
    )
    return run.Run(args, Settings("trie", Schedule(), 100), [], None, np.ones(IDS))


def test_steps_between_two_log_lines(current):
    wrapped = Float16Module(TransformerConfig(num_layers=1, hidden_size=8, num_attention_heads=2, bf16=True), Model())
    with on_gpu() as gpu:
        with gpu.unwatched():
            report = reporting.Report(current)
        for iteration, step in ((1, forward_step), (2, by_position)):
            forward_backward(report, [batch(), batch(torch.bfloat16)], step)
            report.training_step(iteration, skipped=False, first=False)
        assert isinstance(wrapped.module, Model)
        assert losses._parameters(wrapped) == ["nats", "labels", "loss_mask"]
        report.meter = report.new_meter()
        for at in (0, 4):
            forward_backward(report, [batch()], at=at)
        report.meter.end_pass()
        assert report.meter.sums.take().device.type == "cuda"


def kernels_of_steps(current, micro_batches, steps, log_interval, monkeypatch):
    """What the sums launch beside the script's own losses, and the last step's line or writing."""
    current.args.log_interval = log_interval
    monkeypatch.setattr(bytes_seen, "is_last_rank", lambda: False)
    launched = []
    for measure in (False, True):
        with on_gpu() as gpu:
            with gpu.unwatched():
                report = reporting.Report(current)
            batches = [batch() for _ in range(micro_batches)]
            gpu.kernels.clear()
            for iteration in range(1, steps + 1):
                if measure:
                    forward_backward(report, batches)
                    report.training_step(iteration, skipped=False, first=False)
                else:
                    for one in batches:
                        output, loss_func = forward_step(iter([one]), Model())
                        loss_func(output)
            launched.append(len(gpu.kernels))
    stock, ours = launched
    return ours - stock


@pytest.mark.long
@pytest.mark.parametrize(
    ("micro_batches", "steps", "log_interval"), [(8, 1, 1), (64, 1, 1), (1, 10, 10), (1, 100, 100)]
)
def test_under_ten_kernels_per_micro_batch(current, monkeypatch, micro_batches, steps, log_interval):
    with a_rank_of(4, rank=1, **TWO, context_parallel_size=2):
        launched = kernels_of_steps(current, micro_batches, steps, log_interval, monkeypatch)
    assert launched / (micro_batches * steps) < 10


@pytest.mark.parametrize(
    ("rank", "collectives", "waits"),
    [
        (0, [], 0),
        (5, ["_allgather_base_", "allreduce_"], 0),
        (6, ["_allgather_base_", "allreduce_", "broadcast_"], 0),
        (7, ["_allgather_base_", "allreduce_", "broadcast_"], 1),
    ],
    ids=["first stage", "last stage", "reads for the last rank", "last rank"],
)
def test_only_the_rank_that_writes_waits_and_only_once(current, monkeypatch, rank, collectives, waits):
    found, written = [], []
    current.args.tensorboard_log_interval = current.args.log_interval = 1
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: (9, 0))
    monkeypatch.setattr(torch.Tensor, "cpu", lambda self: (found.append(tuple(self.shape)), Host([1.0] * 10))[1])
    monkeypatch.setattr(reporting, "_write", lambda values, iteration, samples: written.append(values))
    groups = TWO | {"context_parallel_size": 2, "pipeline_model_parallel_size": 2}
    with a_rank_of(8, rank=rank, **groups), on_gpu() as gpu:
        with gpu.unwatched():
            report = reporting.Report(current)
        report._bytes_seen = argparse.Namespace(after=lambda samples: (3, 4))
        if rank > 3:
            forward_backward(report, [batch(length=LENGTH // 2) for _ in range(3)])
        report.training_step(1, skipped=False, first=False)
        assert gpu.collectives == collectives
    assert found == [(10,)] * waits
    assert [set(losses.KEYS) <= set(values) for values in written] == [True] * waits
    assert bool(report.line) == bool(waits)


def test_a_copy_to_the_host_is_what_the_last_rank_waits_for(current):
    current.args.log_interval = 1
    with a_rank_of(1, rank=0), on_gpu() as gpu:
        with gpu.unwatched():
            report = reporting.Report(current)
        report._bytes_seen = argparse.Namespace(after=lambda samples: (3, 4))
        with pytest.raises(OffGpuError):
            report.training_step(1, skipped=False, first=False)
