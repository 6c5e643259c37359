"""How many samples a run still reads after a restart, and loaders that begin at the end of a dataset."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("megatron.training", reason="megatron-core is not installed")

import megatron_args  # noqa: E402
from megatron.core.datasets.utils import Split  # noqa: E402

from megatron_proxy.adaptor import run  # noqa: E402
from megatron_proxy.adaptor.data import needs  # noqa: E402
from megatron_proxy.errors import DatasetError  # noqa: E402


class Current:
    """A run, of which only the arguments matter here."""

    def __init__(self, args):
        self.args = args


@pytest.fixture
def start(monkeypatch):
    """Begins a run from a checkpoint: flags, and what the checkpoint has consumed."""

    def begin(flags="", iteration=0, train=0, valid=0):
        args = megatron_args.parse("--eval-iters 1 --eval-interval 4", flags)
        args.iteration, args.consumed_train_samples, args.consumed_valid_samples = iteration, train, valid
        monkeypatch.setattr(run, "active", lambda: Current(args))
        return args

    return begin


def stock_sizes(args):
    """What Megatron asks for, in its words: as if the run had begun with these flags."""
    points = args.train_iters // args.eval_interval + 1
    return (
        args.train_iters * args.global_batch_size,
        points * args.eval_iters * args.global_batch_size,
        args.eval_iters * args.global_batch_size,
    )


# Without flags: 8 iterations of 4 samples, one iteration of evaluation at 4, at 8 and at the end.
@pytest.mark.parametrize(
    ("flags", "checkpoint", "expected"),
    [
        ("", {}, (32, 12, 4)),
        ("", {"iteration": 4, "train": 16, "valid": 4}, (32, 12, 4)),
        ("", {"iteration": 8, "train": 32, "valid": 8}, (32, 12, 4)),
        ("--train-iters 12", {"iteration": 8, "train": 32, "valid": 8}, (48, 16, 4)),
        ("--eval-interval 100", {"iteration": 8, "train": 32, "valid": 8}, (32, 12, 4)),
        ("--eval-interval 100", {"iteration": 4, "train": 16, "valid": 40}, (32, 44, 4)),
        ("--eval-interval 1", {"iteration": 4, "train": 16, "valid": 4}, (32, 36, 4)),
        ("--eval-iters 3", {"iteration": 4, "train": 16, "valid": 40}, (32, 64, 12)),
        ("--eval-iters 0", {"iteration": 4, "train": 16, "valid": 4}, (32, 4, 0)),
        ("--global-batch-size 2", {"iteration": 4, "train": 16, "valid": 4}, (24, 8, 2)),
        ("--global-batch-size 8", {"iteration": 4, "train": 16, "valid": 4}, (64, 24, 8)),
        ("--start-eval-at-iter 8", {"iteration": 4, "train": 16, "valid": 0}, (32, 12, 4)),
        ("--start-eval-at-iter 8", {"iteration": 4, "train": 16, "valid": 40}, (32, 48, 4)),
        ("--skip-train", {"iteration": 8, "train": 32, "valid": 800}, (32, 12, 4)),
    ],
)
def test_what_was_consumed_and_what_is_still_read(start, flags, checkpoint, expected):
    args = start(flags, **checkpoint)
    assert needs.count_from_checkpoint(lambda: stock_sizes(args))() == expected


def test_full_validation_stays_one_epoch(start):
    args = start("--full-validation", iteration=4, train=16, valid=100)
    assert needs.count_from_checkpoint(lambda: (32, None, 4))() == (32, None, 4)
    assert args.full_validation


def test_batches_that_grow_are_counted_one_by_one(start, monkeypatch):
    from megatron.core import num_microbatches_calculator as batches

    asked = []
    monkeypatch.setattr(batches, "update_num_microbatches", lambda consumed, consistency_check: asked.append(consumed))
    monkeypatch.setattr(batches, "get_current_global_batch_size", lambda: 4 if asked[-1] < 20 else 8)
    args = start(iteration=2, train=8)
    args.step_batch_size_schedule, args.train_iters = "0:4 20:8", 7
    assert needs.still_read(args, Split.train) == 4 + 4 + 4 + 8 + 8
    # And Megatron's counter is put back.
    assert asked == [8, 12, 16, 20, 28, 8]


def test_without_the_flag_megatron_counts_and_loads_as_it_does(monkeypatch):
    monkeypatch.setattr(run, "active", lambda: None)
    assert needs.count_from_checkpoint(lambda: (1, 2, 3))() == (1, 2, 3)
    assert needs.load_what_is_left(lambda *given: given)([1, 2], 2) == ([1, 2], 2)


class Samples(list):
    """A dataset of so many samples."""

    def __init__(self, count, split):
        super().__init__(range(count))
        self.index_split = split


def loaded_from(dataset, consumed):
    return needs.load_what_is_left(lambda _, first: first)(dataset, consumed)


def test_a_finished_run_gets_a_loader_that_is_never_read(start):
    start(iteration=8, train=32)
    assert loaded_from(Samples(32, Split.train), 32) == 31
    assert loaded_from(Samples(33, Split.train), 32) == 32
    assert loaded_from(Samples(64, Split.train), 32) == 32


def test_without_evaluations_the_validation_data_may_be_used_up(start):
    start("--eval-iters 0", iteration=4, train=16, valid=40)
    assert loaded_from(Samples(8, Split.valid), 40) == 7
    assert loaded_from(None, 40) == 40


@pytest.mark.parametrize(
    ("split", "consumed", "needed", "fix"),
    [
        (Split.train, 16, 32, "or a shorter run"),
        (Split.valid, 4, 12, "or fewer --eval-iters, or a larger --eval-interval"),
        (Split.test, 0, 4, "or fewer --eval-iters"),
    ],
)
def test_data_that_would_run_out_are_refused_before_the_first_step(start, split, consumed, needed, fix):
    start(iteration=4, train=16, valid=4)
    assert loaded_from(Samples(needed, split), consumed) == consumed
    with pytest.raises(
        DatasetError, match=f"the {split.name} part has {needed - 1} samples, and this run reads"
    ) as error:
        loaded_from(Samples(needed - 1, split), consumed)
    assert fix in error.value.fix


def test_full_validation_reads_what_there_is(start):
    start("--full-validation --eval-iters 100")
    assert loaded_from(Samples(3, Split.valid), 0) == 0
