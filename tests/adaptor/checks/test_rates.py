"""The schedule of the learning rate: what Megatron would compare at a restart, compared before."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("megatron.training", reason="megatron-core is not installed")

import megatron_args  # noqa: E402
from megatron.core.optimizer_param_scheduler import OptimizerParamScheduler  # noqa: E402
from megatron.training import global_vars, training  # noqa: E402

from megatron_proxy.adaptor.checks import rates  # noqa: E402
from megatron_proxy.errors import ConfigurationError  # noqa: E402


def validated(flags=""):
    """Arguments with what Megatron's validation sets."""
    args = megatron_args.parse("--lr 0.01 --min-lr 0.001 --lr-decay-style cosine --weight-decay 0.1", flags)
    args.start_weight_decay = args.end_weight_decay = args.weight_decay
    if args.train_samples:
        args.train_iters = None
    return args


def saved(flags, monkeypatch):
    """What Megatron's own scheduler puts into a checkpoint."""
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setattr(global_vars, "_GLOBAL_ARGS", validated(flags))
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.01)
    scheduler = training.get_optimizer_param_scheduler(optimizer)
    assert isinstance(scheduler, OptimizerParamScheduler)
    return scheduler.state_dict()


SAMPLES = "--train-samples 640 --lr-decay-samples 320 --lr-warmup-samples 16"


@pytest.mark.parametrize(
    "flags",
    ["", "--lr-decay-iters 5 --lr-warmup-iters 2", "--lr-warmup-fraction 0.3", "--train-samples 640", SAMPLES],
)
def test_the_same_flags_go_on(flags, monkeypatch):
    rates.check(saved(flags, monkeypatch), validated(flags))


@pytest.mark.parametrize(
    ("before", "now", "where", "values"),
    [
        ("", "--train-iters 9", "--train-iters, --global-batch-size", "lr_decay_steps 32 in the checkpoint, and 36 in"),
        ("", "--global-batch-size 8", "--train-iters, --global-batch-size", "lr_decay_steps 32 in the checkpoint, an"),
        (
            "--lr-decay-iters 8",
            "--lr-decay-iters 8 --train-iters 9",
            "--train-iters, --global-batch-size",
            "wd_incr_steps 32 in the checkpoint, and 36 in this run",
        ),
        ("", "--lr-decay-iters 7", "--lr-decay-iters, --global-batch-size", "lr_decay_steps 32 in the checkpoint, a"),
        ("", "--lr 0.02", "--lr", "max_lr 0.01 in the checkpoint, and 0.02 in this run"),
        ("", "--min-lr 0.002", "--min-lr", "min_lr 0.001 in the checkpoint, and 0.002 in this run"),
        ("", "--lr-decay-style linear", "--lr-decay-style", "lr_decay_style cosine in the checkpoint, and linear in"),
        ("", "--weight-decay 0.2", "--start-weight-decay", "start_wd 0.1 in the checkpoint, and 0.2 in this run"),
        ("", "--lr-warmup-iters 1", "--lr-warmup-iters, --lr-warmup-fraction", "lr_warmup_steps 0 in the checkpoint"),
        ("--train-samples 640", "--train-samples 320", "--train-samples", "lr_decay_steps 640 in the checkpoint, and"),
    ],
)
def test_other_flags_are_refused_unless_it_is_said_which_to_take(before, now, where, values, monkeypatch):
    state = saved(before, monkeypatch)
    with pytest.raises(ConfigurationError) as error:
        rates.check(state, validated(now))
    assert error.value.where == where
    assert error.value.what.startswith(f"the learning rate's schedule has {values}")
    for flag in ("--override-opt-param-scheduler", "--use-checkpoint-opt-param-scheduler"):
        assert flag in error.value.fix
        rates.check(state, validated(f"{now} {flag}"))


def test_a_checkpoint_without_a_schedule_is_left_to_megatron():
    rates.check({}, validated("--train-iters 9"))
    args = validated()
    args.train_iters = None
    rates.check({"lr_decay_steps": 32}, args)
