"""Runs that are started again: (first command, second command) → exit code, and the losses or the error.

The rows are those of the table in docs/troubleshooting.md. One checkpoint serves all of them. What is refused is
refused before Megatron prints its arguments, so those rows are parsed and validated in one process.
"""

import json
import shutil
from pathlib import Path

import pytest

pytest.importorskip("megatron.training", reason="megatron-core is not installed")

import tiny_data

from megatron_proxy.tools.report import training_log

pytestmark = pytest.mark.megatron

CHECKS = Path(__file__).parents[1] / "helpers" / "first_checks.py"
FIRST = (
    "--num-layers 1 --hidden-size 16 --num-attention-heads 2 --seq-length 64 --max-position-embeddings 64 "
    "--position-embedding-type rope --hidden-dropout 0 --attention-dropout 0 --micro-batch-size 1 "
    "--global-batch-size 4 --lr 1e-2 --lr-decay-style constant --eval-iters 2 --eval-interval 2 --log-interval 1 "
    "--split 80,10,10 --seed 1 --train-iters 6 --save-interval 2 --proxy-compression trie"
)
"""Saves after 2, 4 and 6 iterations, each after an evaluation: 24 samples to train on, 24 of validation, then 8."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("restarts")
    texts = tiny_data.documents(200, words=8)
    tiny_data.prepare(made / "a", texts)
    tiny_data.prepare(made / "b", tiny_data.documents(60, words=30, seed=2), trained_on=texts)
    tiny_data.prepare(made / "bytes", [b"ab"] * 40, name="gzip")
    return made


@pytest.fixture(scope="module")
def train(training, folder):
    """Trains on prefix ``a``: the parsed log."""

    def run(*flags, **options):
        log = training.train(FIRST, f"--data-path {folder / 'a'}", *flags, cwd=folder, **options).log
        return training_log.parse(log.splitlines())

    return run


@pytest.fixture(scope="module")
def first(train, folder):
    return train(f"--save {folder / 'saved'}")


@pytest.fixture
def again(first, train, folder, tmp_path):
    """The second command, from a copy of the checkpoint whose latest iteration is the given one."""

    def run(iteration, *flags, **options):
        shutil.copytree(folder / "saved", tmp_path / "saved")
        (tmp_path / "saved" / "latest_checkpointed_iteration.txt").write_text(str(iteration))
        return train(f"--save {tmp_path / 'saved'} --load {tmp_path / 'saved'}", *flags, **options)

    return run


def losses(log):
    return {entry.iteration: entry.values["lm loss"] for entry in log.training}


def consumed(log):
    return [int(entry.values["consumed samples"]) for entry in log.training]


def validation(log):
    return [entry.values["lm loss"] for entry in log.validation]


def test_the_same_command_after_the_run_has_finished(first, again):
    log = again(6)
    assert log.training == []
    assert validation(log) == validation(first)[-1:]


def test_other_batches_and_evaluations_at_once(first, again):
    """More is read than the first command's plans hold, in training and in validation."""
    flags = "--global-batch-size 2 --train-iters 12 --eval-interval 5 --eval-iters 1 --override-opt-param-scheduler"
    log = again(4, flags, "--use-checkpoint-args")
    assert list(losses(log)) == [5, 6, 7, 8, 9, 10, 11, 12]
    assert consumed(log) == [18, 20, 22, 24, 26, 28, 30, 32]
    assert len(validation(log)) == 3


# Second command, iteration of the checkpoint, iterations whose losses are those of the first command, samples consumed
# at the end, evaluations. The line after the first resumed iteration is the mean of two.
ROWS = {
    "fewer evaluations": ("--eval-interval 100", 4, [5], 24, 1),
    "no evaluation": ("--eval-iters 0", 4, [5], 24, 0),
    "a smaller batch": ("--global-batch-size 2 --train-iters 10 --override-opt-param-scheduler", 4, [], 28, 4),
    "a larger batch": ("--global-batch-size 8 --override-opt-param-scheduler", 2, [], 40, 3),
    "longer": (
        "--train-iters 8 --override-opt-param-scheduler --proxy-horizon-samples 24",
        6,
        [],
        32,
        2,
    ),
    "the checkpoint's arguments": ("--use-checkpoint-args", 4, [5], 24, 2),
    "evaluation only": ("--skip-train", 6, [], None, 1),
    "an earlier iteration": ("--ckpt-step 2", 6, [3], 24, 3),
    "new from the weights": ("--finetune", 6, [], 24, 4),
    "stopped": ("--exit-interval 5", 4, [5], 20, 0),
}


@pytest.mark.slow
@pytest.mark.parametrize(("flags", "iteration", "same", "end", "evaluations"), ROWS.values(), ids=ROWS)
def test_a_second_command(first, again, flags, iteration, same, end, evaluations):
    log = again(iteration, flags)
    assert {step: losses(log)[step] for step in same} == {step: losses(first)[step] for step in same}
    assert (consumed(log) or [None])[-1] == end
    assert len(validation(log)) == evaluations


@pytest.mark.slow
def test_a_run_that_was_out_of_time_in_an_evaluation(again, train, tmp_path):
    """One minute is the shortest time that Megatron takes."""
    again(4, "--exit-duration-in-mins 1 --eval-iters 5000 --save-interval 100")
    log = train(f"--load {tmp_path / 'saved'}")
    assert consumed(log)[-1:] in ([24], [])
    assert validation(log)


@pytest.mark.slow
def test_a_finished_run_on_a_weighted_blend(train, folder):
    """Where stock Megatron asserts."""
    blend = f"--data-path 0.7 {folder / 'a'} 0.3 {folder / 'b'} --save {folder / 'blend'}"
    whole = train(blend)
    log = train(blend, f"--load {folder / 'blend'}")
    assert log.training == []
    assert validation(log) == validation(whole)[-1:]


RATES = "the learning rate's schedule has"
TAKE = "this run\n  what to do: give --override-opt-param-scheduler to go on with this run's schedule, or --use-che"
REFUSED = {
    "--global-batch-size 2": (
        f"--train-iters, --global-batch-size: {RATES} lr_decay_steps 24 in the checkpoint, and 12 in {TAKE}"
    ),
    "--train-iters 8": (
        f"--train-iters, --global-batch-size: {RATES} lr_decay_steps 24 in the checkpoint, and 32 in {TAKE}"
    ),
    "--lr 1e-3": f"--lr: {RATES} max_lr 0.01 in the checkpoint, and 0.001 in {TAKE}",
    "--lr-warmup-iters 1": f"--lr-warmup-iters, --lr-warmup-fraction: {RATES} lr_warmup_steps 0 in the checkpoint, ",
    "--seq-length 32": (
        "--seq-length: the checkpoint has read samples of 64 ids, and this run's have 32\n"
        "  what to do: give --seq-length 64, or --finetune to begin a new run from these weights"
    ),
    "--ckpt-step 3": "saved: there is no 'iter_0000003' in it; present: iter_0000002, iter_0000004, iter_0000006",
    "--proxy-format-embedding": "--load: the checkpoint was trained without --proxy-format-embedding\n",
    "--proxy-compression gzip --data-path {0}/bytes": "--load: the checkpoint was trained with --proxy-compres",
    "--full-validation": "--full-validation: Megatron does not evaluate one set in full\n  what to do: give --multi",
    "--async-save --use-persistent-ckpt-worker": "--use-persistent-ckpt-worker without a GPU: does not work with",
    # What needs no checkpoint to be wrong.
    "--data-path {0}/none": "--data-path: '{0}/none' is not a prepared dataset: there is no none_manifest.json",
    "--proxy-peak-rate 1.5": "--proxy-peak-rate: a rate is a share of segments in [0, 1], not 1.5",
    "--proxy-mode vanilla --proxy-validation-view both": "--proxy-validation-view: in the mode vanilla",
}
TAKEN = [
    "",
    "--eval-interval 100",
    "--global-batch-size 2 --override-opt-param-scheduler",
    "--seq-length 32 --finetune",
    "--full-validation --multiple-validation-sets --split 80,20,0",
]


@pytest.fixture(scope="module")
def outcomes(first, training, folder):
    (folder / "commands.json").write_text(json.dumps([command.format(folder) for command in (*REFUSED, *TAKEN)]))
    common = f"{FIRST} --data-path {folder / 'a'} --load {folder / 'saved'}"
    log = training.train(str(folder / "commands.json"), common, script=CHECKS, cwd=folder).log
    (found,) = (line for line in log.splitlines() if line.startswith("OUTCOMES "))
    return dict(zip((*REFUSED, *TAKEN), json.loads(found.removeprefix("OUTCOMES ")), strict=True))


@pytest.mark.parametrize("command", REFUSED)
def test_what_is_refused_before_megatron_prints_its_arguments(outcomes, folder, command):
    error, printed = outcomes[command]
    assert REFUSED[command].format(folder) in error
    assert not printed


@pytest.mark.parametrize("command", TAKEN)
def test_what_is_not_refused(outcomes, command):
    assert outcomes[command] == ["", True]
