"""Every hook of a step, called as Megatron calls it, neither waits for the GPU nor leaves it; shown without a GPU."""

import argparse
from collections import Counter

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("megatron.training", reason="megatron-core is not installed")
if torch.version.cuda is None:
    pytest.skip("this torch was built without CUDA", allow_module_level=True)

import numpy as np  # noqa: E402
from megatron.core import mpu  # noqa: E402
from megatron.core.distributed import (  # noqa: E402
    DistributedDataParallel,
    DistributedDataParallelConfig,
    TorchFullyShardedDataParallel,
)
from megatron.core.distributed.fsdp.mcore_fsdp_adapter import FullyShardedDataParallel  # noqa: E402
from megatron.core.distributed.fsdp.src.megatron_fsdp.megatron_fsdp import MegatronFSDP  # noqa: E402
from megatron.core.transformer.module import Float16Module  # noqa: E402
from megatron.core.transformer.transformer_config import TransformerConfig  # noqa: E402
from megatron.training import global_vars  # noqa: E402
from on_gpu import Host, a_rank_of, on_gpu  # noqa: E402
from torch._subclasses.fake_tensor import FakeTensor  # noqa: E402

from megatron_proxy.adaptor import hooks, run  # noqa: E402
from megatron_proxy.adaptor.arguments import Settings  # noqa: E402
from megatron_proxy.adaptor.measures import reporting  # noqa: E402
from megatron_proxy.data.sampling.schedule import Mode, Schedule  # noqa: E402
from megatron_proxy.vocab import SYMBOL_OFFSET  # noqa: E402

LENGTH, IDS = 16, SYMBOL_OFFSET + 4
HOOKS = {hook.name: hook.wrapper for hook in hooks.table()}
# Called while the run is set up, on the host.
BEFORE_THE_STEPS = {
    "GPTModel.__init__",
    "add_megatron_arguments",
    "_print_args",
    "build_tokenizer",
    "BlendedMegatronDatasetBuilder.__init__",
    "BlendedMegatronDatasetBuilder.build",
    "BlendedDataset._build_indices",
    "setup_model_and_optimizer",
    "get_train_valid_test_num_samples",
    "build_pretraining_data_loader",
    "check_checkpoint_args",
}
# In the model: test_on_gpu.py has it in every kind of parallelism.
IN_THE_MODEL = {"LanguageModelEmbedding"}
# What Loop below calls.
IN_THE_LOOP = {
    "get_forward_backward_func",
    "training_log",
    "evaluate",
    "evaluate_and_print_results",
    "print_rank_last",
}


def test_every_hook_has_its_place():
    assert set(HOOKS) == BEFORE_THE_STEPS | IN_THE_MODEL | IN_THE_LOOP


class Model(torch.nn.Module):
    """Gives back the losses it is given."""

    def forward(self, nats, labels=None, loss_mask=None):
        return nats


class Loop:
    """What of Megatron's loop calls the hooks, in the order in which it does; nothing else of it."""

    def __init__(self, args, model):
        self.args, self.model, self.lines = args, model, []
        self.last_stage = mpu.is_pipeline_last_stage(ignore_virtual=True)
        hooked = {name: HOOKS[name](getattr(self, f"stock_{name}")) for name in sorted(IN_THE_LOOP)}
        self.schedule, self.print, self.log, self.evaluate, self.validate = (
            hooked[name]
            for name in (
                "get_forward_backward_func",
                "print_rank_last",
                "training_log",
                "evaluate",
                "evaluate_and_print_results",
            )
        )

    def stock_get_forward_backward_func(self):
        def forward_backward(*, forward_step_func, data_iterator, model, num_microbatches):
            for _ in range(num_microbatches):
                output, loss_func = forward_step_func(data_iterator, model)
                if self.last_stage:
                    loss_func(output)

        return forward_backward

    def stock_print_rank_last(self, message):
        self.lines.append(message)

    def stock_training_log(self, loss_dict, total_loss_dict, iteration, skipped_iter, is_first_iteration):
        self.print(f" iteration {iteration} |")

    def stock_evaluate(self, forward_step_func, data_iterator, model):
        for _ in range(2):
            self.args.consumed_valid_samples += 4
            self.pass_over(1)
        return ({"lm loss": torch.zeros((), device="cuda")} if self.last_stage else {}), None, False

    def stock_evaluate_and_print_results(self, iteration, write_to_tensorboard):
        self.evaluate(self.forward_step, None, self.model)
        self.print(f" validation loss at iteration {iteration} | ")

    def forward_step(self, data_iterator, model):
        shape = (2, LENGTH // max(1, mpu.get_context_parallel_world_size()))
        nats, labels = torch.zeros(shape, device="cuda"), torch.zeros(shape, dtype=torch.int64, device="cuda")
        output = model(nats, labels=labels if self.last_stage else None, loss_mask=torch.ones_like(nats))
        return output, lambda output: (output.sum(), {"lm loss": output.sum()})

    def pass_over(self, micro_batches):
        self.schedule()(
            forward_step_func=self.forward_step,
            data_iterator=None,
            model=self.model,
            num_microbatches=micro_batches,
        )

    def train(self, iterations):
        """Iterations, the last of which is logged, and an evaluation."""
        for iteration in range(1, iterations + 1):
            self.pass_over(2)
            self.log({"lm loss": torch.zeros((), device="cuda")}, {}, iteration, 0, False)
        self.validate(iterations, True)


@pytest.fixture
def begun(monkeypatch, tmp_path):
    """Makes a run the one in progress: all of its figures go to the log, to TensorBoard and to a file."""

    def begin(mode):
        args = argparse.Namespace(
            proxy_compression="trie",
            proxy_metrics=str(tmp_path / "metrics.jsonl"),
            save=None,
            seq_length=LENGTH,
            log_interval=3,
            consumed_train_samples=0,
            consumed_valid_samples=0,
            multiple_validation_sets=False,
            tensorboard_dir="board",
            tensorboard_log_interval=3,
        )
        tokenizer = argparse.Namespace(vocab_size=IDS)
        schedule = Schedule(warmup_mode=mode, steady_mode=mode, final_mode=mode)
        made = run.Run(args, Settings("trie", schedule, 100), [], tokenizer, np.ones(IDS), checked=True)
        monkeypatch.setattr(run, "_current", made)
        monkeypatch.setattr(global_vars, "_GLOBAL_ARGS", args)
        return made

    monkeypatch.setattr(reporting, "_write", lambda *_: None)
    return begin


@pytest.fixture
def waits(monkeypatch):
    """Counts where the host asks for a figure; such a one is 1."""
    found = Counter()

    monkeypatch.setattr(FakeTensor, "cpu", lambda self: found.update(["cpu"]) or Host([1.0] * self.numel()))
    monkeypatch.setattr(FakeTensor, "tolist", lambda self: found.update(["tolist"]) or [1.0] * self.numel())
    monkeypatch.setattr(FakeTensor, "__float__", lambda self: found.update(["float"]) or 1.0)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: (9, 0))
    return found


GROUPS = {"tensor_model_parallel_size": 2, "context_parallel_size": 2, "pipeline_model_parallel_size": 2}
# An evaluation's figures go to every rank of the last stage, as Megatron's own do. The last rank waits once for a line
# and, as it keeps a record of the figures, for the loss in it, there and in the evaluation's record.
WAITS = {
    "first stage": (0, {}),
    "last stage": (5, {"tolist": 1}),
    "reads for the last rank": (6, {"tolist": 1}),
    "last rank": (7, {"tolist": 1, "cpu": 1, "float": 2}),
}


@pytest.mark.long
@pytest.mark.parametrize(("rank", "expected"), WAITS.values(), ids=WAITS)
def test_hooks_wait_where_a_line_is_written_and_nowhere_else(begun, waits, rank, expected):
    for mode in Mode:
        waits.clear()
        with a_rank_of(8, rank=rank, **GROUPS), on_gpu() as gpu:
            current = begun(mode)
            with gpu.unwatched():
                model = Model()
                current.report = reporting.Report(current)
            current.report._bytes_seen = argparse.Namespace(after=lambda samples: (3, 4))
            loop = Loop(current.args, model)
            loop.train(3)
        assert waits == expected, mode
        assert [f"mode: {mode.value} |" in line for line in loop.lines] == [False, False, rank == 7, False]
        assert ("raw bpb value: " in loop.lines[3]) == (rank > 3)


def sharded(model, config):
    """Megatron's FSDP around a model, without what it makes of its weights, for which there must be a GPU."""
    outer, inner = (kind.__new__(kind) for kind in (FullyShardedDataParallel, MegatronFSDP))
    for wrapper, wrapped in ((inner, model), (outer, inner)):
        torch.nn.Module.__init__(wrapper)
        wrapper.module = wrapped
    inner._replace_param_with_raw_if_needed = lambda: None
    return outer


def sharded_by_torch(model, config):
    """The same of torch's own."""
    wrapper = TorchFullyShardedDataParallel.__new__(TorchFullyShardedDataParallel)
    torch.nn.Module.__init__(wrapper)
    wrapper.module = model
    return wrapper


WRAPPERS = {
    "DistributedDataParallel": lambda model, config: DistributedDataParallel(
        config, DistributedDataParallelConfig(), model
    ),
    "MegatronFSDP": sharded,
    "TorchFullyShardedDataParallel": sharded_by_torch,
}


@pytest.mark.filterwarnings("ignore:full scope is deprecated")
@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
def test_what_wraps_the_model_is_looked_through(begun, waits, monkeypatch, wrap):
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    config = TransformerConfig(
        num_layers=1, hidden_size=8, num_attention_heads=2, bf16=True, gradient_accumulation_fusion=False
    )
    with a_rank_of(2, rank=0), on_gpu() as gpu:
        current = begun(Mode.SENTINEL)
        with gpu.unwatched():
            model = wrap(Float16Module(config, Model()), config)
            current.report = reporting.Report(current)
        loop = Loop(current.args, model)
        loop.train(3)
        assert current.report.meter.measured
    assert waits == {"tolist": 1}
