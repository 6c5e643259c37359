"""Megatron's own training loop with the flag, on the CPU: resuming, parallelism, stock scripts, the log.

One process trains six steps, with the format embedding, and saves after the third; all else is compared with it. Runs
of two processes go on from its checkpoint, since other splits of a model draw other random weights.
"""

import os
import shutil
from pathlib import Path

import pytest
import tiny_data

from megatron_proxy.tools import patching
from megatron_proxy.tools.report import read_run, training_log

SHIMMED = Path(__file__).parents[1] / "helpers" / "shimmed.py"
MODEL = (
    "--num-layers 4 --hidden-size 32 --num-attention-heads 4 --seq-length 64 --max-position-embeddings 64 "
    "--position-embedding-type rope --hidden-dropout 0 --attention-dropout 0 --micro-batch-size 2 "
    "--global-batch-size 4 --lr 1e-2 --lr-decay-style constant --eval-iters 1 --eval-interval 1000 --log-interval 1 "
    "--split 80,10,10 --seed 1 --ckpt-format torch_dist --train-iters 6 --proxy-compression trie"
)
EMBEDDING = "--proxy-format-embedding"
ONE = "--make-vocab-size-divisible-by 16"
HALF = "--make-vocab-size-divisible-by 8"
"""With tensor parallelism over two ranks: the same padded vocabulary."""

MEASURES = ("lm loss", "raw bpb", "compressed bpb", "raw bytes seen", "compressed bytes seen", "compressed rate")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("training")
    texts = tiny_data.documents(200, words=8)
    tiny_data.prepare(made / "a", texts)
    tiny_data.prepare(made / "b", tiny_data.documents(60, words=30, seed=2), trained_on=texts)
    return made


@pytest.fixture(scope="module")
def train(training, folder):
    """Trains on prefix ``a`` and gives the parsed log."""

    def run(*flags, substitutes=False, **options):
        words = [MODEL, f"--data-path {folder / 'a'}", *flags]
        if substitutes:
            words = [str(options.get("script", training.SCRIPT)), *words]
            options["script"] = SHIMMED
        return training_log.parse(training.train(*words, cwd=folder, **options).log.splitlines())

    return run


@pytest.fixture(scope="module")
def whole(train, folder):
    """Six steps without a stop, saved after three of them."""
    board = f"--tensorboard-dir {folder / 'board'} --log-validation-ppl-to-tensorboard"
    # As users start it, and so is torchrun in test_forking.py.
    log = train(EMBEDDING, ONE, f"--save {folder / 'saved'} --save-interval 3", board, anew=True)
    assert [entry.iteration for entry in log.training] == [1, 2, 3, 4, 5, 6]
    (folder / "saved" / "latest_checkpointed_iteration.txt").write_text("3")
    return log


@pytest.fixture(scope="module")
def load(whole, folder):
    """The flags that go on from the checkpoint."""
    return f"--load {folder / 'saved'}"


def assert_same(log, other, iterations, tolerance=1e-5):
    """The same measures at the same iterations, and the same validation at the end."""
    for iteration in iterations:
        found, expected = (next(e for e in one.training if e.iteration == iteration).values for one in (log, other))
        for name in MEASURES:
            assert (name in found) == (name in expected), (iteration, name)
            if name in found:
                assert found[name] == pytest.approx(expected[name], rel=tolerance), (iteration, name)
    for found, expected in zip(log.validation, other.validation, strict=True):
        assert found.values == pytest.approx(expected.values, rel=tolerance)


def test_what_is_recorded_rounds_to_what_is_printed(whole, folder):
    run = read_run(folder / "saved" / "proxy-metrics.jsonl")
    assert [entry.iteration for entry in run.log.training] == [1, 2, 3, 4, 5, 6]
    for found, printed in zip(run.log.training, whole.training, strict=True):
        assert (found.mode, found.values.keys()) == (printed.mode, printed.values.keys())
        # Megatron prints lengths of vectors with three decimals.
        assert found.values == pytest.approx(printed.values, rel=2e-6, abs=5.01e-4)
    exact = {
        name for entry in run.log.training for name, value in entry.values.items() if float(f"{value:.6E}") != value
    }
    assert {"lm loss", "raw bpb", "compressed bpb", "grad norm"} <= exact
    assert run.log.validation[0].values["raw bpb"] == pytest.approx(whole.validation[0].values["raw bpb"], rel=1e-6)
    assert run.settings.number("num_layers") == 4
    assert run.settings.parameters > 4 * 12 * 32 * 32


# The line after a resumed run's first step begins no new interval in Megatron, so the second line is a mean of two.
RESUMED = (4, 6)


def test_every_measure_is_in_the_log(whole):
    first, last = whole.training[0].values, whole.training[-1].values
    assert first["raw bpb"] == pytest.approx(8.7, abs=0.3)  # log2 of 420 ids
    assert last["lm loss"] < first["lm loss"] - 0.5
    for entry in whole.training:
        assert "compressed bpb" in entry.values or entry.values["compressed bytes seen"] == 0
        raw, compressed = entry.values["raw bytes seen"], entry.values["compressed bytes seen"]
        assert entry.values["raw share"] == pytest.approx(raw / (raw + compressed))
    assert first["compressed rate"] == pytest.approx(0.4 + 0.5 * (4 / 24) / 0.2)
    assert last["compressed rate"] == 0.9
    seen = [entry.values["raw bytes seen"] + entry.values["compressed bytes seen"] for entry in whole.training]
    assert seen == sorted(seen)
    assert "raw bpb" in whole.validation[0].values
    assert "compressed bpb" not in whole.validation[0].values
    assert "raw bpb PPL" not in whole.validation[0].values
    assert "lm loss PPL" in whole.validation[0].values


def test_tensorboard_gets_the_same_values(whole, folder):
    loading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    board = loading.EventAccumulator(str(folder / "board"), size_guidance={"scalars": 0})
    board.Reload()
    for name in MEASURES:
        written = {event.step: event.value for event in board.Scalars(name)}
        printed = {entry.iteration: entry.values[name] for entry in whole.training if name in entry.values}
        # The first printed interval has two steps.
        assert {step: written[step] for step in printed if step != 2} == pytest.approx(
            {step: value for step, value in printed.items() if step != 2}, rel=1e-5
        )
        assert board.Scalars(f"{name} vs samples")[0].step == 4
    # Megatron writes validation and then the test under one name; the log's reader leaves the test out.
    assert [tag for tag in board.Tags()["scalars"] if "ppl" in tag and "bpb" in tag] == []
    assert board.Scalars("lm loss validation ppl")
    written = [event.value for event in board.Scalars("raw bpb validation")]
    assert len(written) == len(whole.validation) + 1
    assert written[:-1] == pytest.approx([entry.values["raw bpb"] for entry in whole.validation], rel=1e-5)


def test_a_resumed_run_is_the_run_that_never_stopped(train, whole, load):
    assert_same(train(EMBEDDING, ONE, load), whole, RESUMED)


PARALLEL = {
    "data": f"{ONE}",
    "tensor": f"{HALF} --tensor-model-parallel-size 2",
    "sequence": f"{HALF} --tensor-model-parallel-size 2 --sequence-parallel",
    "pipeline": f"{ONE} --pipeline-model-parallel-size 2",
    "virtual pipeline": f"{ONE} --pipeline-model-parallel-size 2 --num-layers-per-virtual-pipeline-stage 1",
    "context": f"{ONE} --context-parallel-size 2",
}
"""Two processes each. Sequence and context parallelism with substitutes for Transformer Engine's layers."""


@pytest.mark.parametrize("flags", PARALLEL.values(), ids=PARALLEL)
def test_two_processes_have_the_losses_of_one(train, whole, load, flags):
    substitutes = "--sequence-parallel" in flags or "--context-parallel-size" in flags
    log = train(EMBEDDING, flags, load, processes=2, substitutes=substitutes)
    assert_same(log, whole, RESUMED)


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags",
    [
        f"{HALF} --tensor-model-parallel-size 2 --pipeline-model-parallel-size 2",
        f"{HALF} --tensor-model-parallel-size 2",
        f"{ONE} --pipeline-model-parallel-size 2 --context-parallel-size 2",
    ],
    ids=["tensor and pipeline", "tensor and data", "pipeline and context"],
)
def test_four_processes_have_the_losses_of_one(train, whole, load, flags):
    log = train(EMBEDDING, flags, load, processes=4, substitutes="--context-parallel-size" in flags)
    assert_same(log, whole, RESUMED)


def test_the_distributed_optimizer_has_the_losses_of_the_plain_one(train, whole):
    assert_same(train(EMBEDDING, f"{ONE} --use-distributed-optimizer", processes=2), whole, range(1, 7))


def test_the_format_embedding_begins_at_nothing_and_is_learned(train, whole, folder):
    from megatron_proxy.model.checkpoint import open_checkpoint

    without = train(ONE)
    assert without.training[0].values["lm loss"] == whole.training[0].values["lm loss"]
    assert without.training[-1].values["lm loss"] != whole.training[-1].values["lm loss"]
    vectors = open_checkpoint(folder / "saved").tensors.read("embedding.tokentype_embeddings.weight")
    assert [bool(row.any()) for row in vectors] == [False, True, True]


def test_blends_masks_modes_and_both_views(train, folder):
    flags = (
        f"{ONE} --data-path 0.7 {folder / 'a'} 0.3 {folder / 'b'} --reset-position-ids --reset-attention-mask "
        "--eod-mask-loss --proxy-validation-view both --proxy-mode interleaved --proxy-warmup-mode parallel_random "
        "--proxy-shuffle-block 3"
    )
    one, two = train(flags), train(flags, processes=2)
    assert_same(two, one, range(1, 7))
    assert {"raw bpb", "compressed bpb"} <= set(one.validation[0].values)


def test_experts_on_two_ranks_have_the_losses_of_one(train, folder):
    moe = "--disable-bias-linear --num-experts 4 --moe-router-topk 2 --moe-aux-loss-coeff 1e-2"
    saved = folder / "experts"
    train(ONE, moe, f"--save {saved} --save-interval 1 --train-iters 1 --proxy-horizon-samples 24")
    # Megatron does not load a plain optimizer's state for another number of expert-parallel ranks.
    load = f"--load {saved} --no-load-optim"
    parallel = "--expert-model-parallel-size 2 --moe-token-dispatcher-type allgather"
    one, two = train(ONE, moe, load), train(ONE, moe, load, parallel, processes=2)
    assert_same(two, one, range(2, 7))


def test_what_cannot_train_ends_without_a_traceback(training, folder):
    log = training.train(MODEL, f"--data-path {folder / 'none'}", cwd=folder, code=1).log
    assert f"megatron_proxy: error: --data-path: '{folder / 'none'}' is not a prepared dataset" in log
    assert f"megatron-proxy prepare --input CORPUS.jsonl --output-prefix {folder / 'none'} --compressor trie" in log
    assert "Traceback" not in log


def patched(checkouts, tag, name, folder):
    """A patched copy of a release's script, and its checkout."""
    if tag not in checkouts:
        pytest.skip(f"MEGATRON_LM names no checkout of {tag}")
    script = Path(shutil.copy(checkouts[tag] / name, folder))
    script.chmod(0o644)
    patching.patch(script)
    return {"script": script, "path": checkouts[tag]}


def with_helpers(found):
    """Lets a script find the layers that ``--spec`` names in tests/helpers."""
    found["path"] = f"{found['path']}{os.pathsep}{SHIMMED.parent}"


LATEST = ["core_v0.19.0", "main-2026-08"]


@pytest.fixture(scope="module", params=["core_v0.17.1", "core_v0.18.2", "core_v0.19.0", "main-2026-08"])
def stock(request, checkouts, tmp_path_factory):
    return patched(checkouts, request.param, "pretrain_gpt.py", tmp_path_factory.mktemp(request.param))


OTHER_TOKENIZER = "--tokenizer-type GPT2BPETokenizer --vocab-file {0} --merge-file {0}"
"""What a script that was made for tokens has on its command line; without effect."""


@pytest.fixture(scope="module")
def stock_whole(train, stock):
    """The same six steps by the stock script, saved after three: releases do not read each other's checkpoints."""
    saved = stock["script"].parent / "saved"
    log = train(EMBEDDING, ONE, OTHER_TOKENIZER.format(__file__), f"--save {saved} --save-interval 3", **stock)
    (saved / "latest_checkpointed_iteration.txt").write_text("3")
    return log


def test_a_patched_stock_script_has_the_losses_of_our_launcher(stock_whole, whole):
    assert_same(stock_whole, whole, range(1, 7))


def test_a_checkpoint_holds_no_files_of_another_tokenizer(stock_whole, stock):
    """Megatron 0.20 would copy those that the command line names."""
    saved = stock["script"].parent / "saved"
    assert (saved / "iter_0000003" / "metadata.json").is_file()
    assert [path.name for path in saved.rglob("*tokenizer*")] == []


@pytest.mark.parametrize("kind", ["tensor", "pipeline"])
def test_a_patched_stock_script_on_two_processes(train, whole, stock, stock_whole, kind):
    load = f"--load {stock['script'].parent / 'saved'}"
    assert_same(train(EMBEDDING, PARALLEL[kind], load, processes=2, **stock), whole, RESUMED)


def test_without_the_flag_a_patched_script_is_the_unpatched_one(training, checkouts, stock, tmp_path):
    unpatched = stock["path"] / "pretrain_gpt.py"
    flags = (training.TINY, training.MOCK, training.NO_DROPOUT, "--log-interval 1")
    logs = [
        training.train(*flags, cwd=tmp_path, script=script, path=stock["path"]).log
        for script in (stock["script"], unpatched)
    ]
    patched, plain = ([" ".join(line.split("|")[5:]) for line in log.splitlines() if "lm loss" in line] for log in logs)
    assert patched == plain
    assert len(patched) > 4


@pytest.mark.parametrize("tag", LATEST)
def test_multi_token_prediction(train, checkouts, tag, tmp_path):
    found = patched(checkouts, tag, "pretrain_gpt.py", tmp_path)
    flags = f"{ONE} --mtp-num-layers 1"
    one, two = (train(EMBEDDING, flags, processes=ranks, substitutes=True, **found) for ranks in (1, 2))
    assert_same(two, one, range(1, 7))
    assert "mtp_1 loss" in one.training[0].values


@pytest.mark.parametrize("tag", LATEST)
def test_the_hybrid_script(train, checkouts, tag, tmp_path):
    found = patched(checkouts, tag, "pretrain_hybrid.py", tmp_path)
    with_helpers(found)
    flags = f"{ONE} --hybrid-layer-pattern *-*- --spec hybrid_spec hybrid_stack_spec"
    one, two = (train(EMBEDDING, flags, processes=ranks, **found) for ranks in (1, 2))
    assert_same(two, one, range(1, 7))
    assert one.training[-1].values["lm loss"] < one.training[0].values["lm loss"]


@pytest.fixture
def newest(checkouts, tmp_path):
    found = patched(checkouts, LATEST[-1], "pretrain_gpt.py", tmp_path)
    with_helpers(found)
    return found


def assert_learns(log):
    assert log.training[-1].values["lm loss"] < log.training[0].values["lm loss"] - 0.5


def test_hyper_connections_new_in_0_20(train, newest):
    flags = f"{ONE} --enable-mhc-connections --spec mhc_spec mhc_spec"
    one, two = (train(EMBEDDING, flags, processes=ranks, **newest) for ranks in (1, 2))
    assert_same(two, one, range(1, 7))
    assert_learns(one)


def test_mixed_hidden_states_new_in_0_20(train, newest):
    """Which states are mixed is drawn on each rank: only before the first update are two ranks one."""
    flags = f"{ONE} --mtp-num-layers 2 --mtp-hsm"
    one, two = (train(EMBEDDING, flags, processes=ranks, substitutes=True, **newest) for ranks in (1, 2))
    first, other = (log.training[0].values for log in (one, two))
    assert {name: other[name] for name in MEASURES} == pytest.approx({name: first[name] for name in MEASURES}, rel=1e-5)
    assert {"mtp_1 loss", "mtp_2 loss"} <= set(first)
    assert_learns(one)
    assert_learns(two)


def test_flags_new_in_0_20_that_change_no_loss(train, whole, newest, tmp_path):
    saving = (
        f"--ckpt-drop-redundant-extra-state --ckpt-fully-parallel-load-per-rank-objects --save {tmp_path / 'saved'} "
        "--save-interval 3"
    )
    flags = "--output-logit-dtype fp32 --use-gigatoken --batch-invariant-backend triton"
    assert_same(train(EMBEDDING, ONE, flags, saving, **newest), whole, range(1, 7))
    (tmp_path / "saved" / "latest_checkpointed_iteration.txt").write_text("3")
    load = f"{saving} --load {tmp_path / 'saved'}"
    assert_same(
        train(EMBEDDING, HALF, flags, load, "--tensor-model-parallel-size 2", processes=2, **newest), whole, RESUMED
    )
