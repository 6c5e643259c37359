"""The flags: what they mean, what they refuse, and that they leave primitives only."""

import pickle
import re
import sys

import pytest

pytest.importorskip("megatron.training", reason="megatron-core is not installed")

import megatron_args

from megatron_proxy.adaptor import arguments, resume
from megatron_proxy.adaptor.checks import support
from megatron_proxy.data.sampling.schedule import Mix, Mode, Schedule
from megatron_proxy.errors import ConfigurationError, ProxyError, UnsupportedError


def settings(*flags):
    return arguments.settings(megatron_args.parse(*flags))


def test_the_defaults_are_the_papers():
    assert settings() == arguments.Settings("trie", Schedule(), 32)


def test_every_flag_of_the_schedule():
    found = settings(
        "--proxy-initial-rate 0.1 --proxy-peak-rate 0.8 --proxy-final-rate 0.2 --proxy-warmup-samples 10",
        "--proxy-steady-fraction 0.25 --proxy-decay-samples 20 --proxy-warmup-mode parallel_random",
        "--proxy-mode interleaved --proxy-final-mode sentinel --proxy-horizon-samples 100 --proxy-shuffle-block 7",
        "--proxy-validation-view both --proxy-format-embedding",
    )
    assert found.schedule == Schedule(
        0.1, 0.8, 0.2, 0.1, 0.25, 0.2, Mode.PARALLEL_RANDOM, Mode.INTERLEAVED, Mode.SENTINEL
    )
    assert (found.horizon_samples, found.shuffle_block) == (100, 7)
    assert (found.validation_view, found.format_embedding) == ("both", True)


def test_defaults_that_follow_other_flags():
    found = settings("--proxy-peak-rate 0.7 --proxy-mode vanilla").schedule
    assert found.final_rate == 0.7
    assert found.modes == (Mode.VANILLA,)
    found = settings("--proxy-mode interleaved").schedule
    assert (found.modes, found.initial_rate, found.peak_rate, found.final_rate) == ((Mode.INTERLEAVED,), 0.4, 0.5, 0.5)
    found = settings("--proxy-mode interleaved --proxy-peak-rate 0.9 --proxy-warmup-mode sentinel").schedule
    assert (found.warmup_mode, found.peak_rate) == (Mode.SENTINEL, 0.9)
    assert settings("--proxy-mode vanilla --proxy-warmup-mode sentinel").schedule.warmup_mode is Mode.SENTINEL


def test_the_horizon_is_the_runs_own_length_unless_given():
    assert settings("--train-iters 5 --global-batch-size 6").horizon_samples == 30
    args = megatron_args.parse("--train-samples 77")
    args.train_iters = None
    assert arguments.settings(args).horizon_samples == 77


def test_the_setting_in_force():
    found = settings("--proxy-horizon-samples 100")
    assert found.mix(0) == Mix(0.4, Mode.TRANSLATION_RANDOM)
    assert found.mix(10).rate == pytest.approx(0.65)
    assert found.mix(20) == found.mix(1000) == Mix(0.9, Mode.SENTINEL)


@pytest.mark.parametrize(
    ("flags", "rate", "mode"),
    [
        ("", 0.0, Mode.SENTINEL),
        ("--proxy-validation-view compressed", 1.0, Mode.SENTINEL),
        ("--proxy-validation-view both", 0.5, Mode.PARALLEL_RAW_COMPRESSED),
        ("--proxy-mode vanilla", 0.0, Mode.VANILLA),
    ],
)
def test_validation_has_one_setting(flags, rate, mode):
    assert settings(flags).validation_schedule() == Schedule.constant(rate, mode)


@pytest.mark.parametrize(
    ("flags", "where"),
    [
        ("--proxy-peak-rate 1.5", "--proxy-peak-rate"),
        ("--proxy-warmup-fraction -0.1", "--proxy-warmup-fraction"),
        ("--proxy-warmup-fraction 0.6 --proxy-decay-fraction 0.6", "--proxy-warmup-fraction"),
        ("--proxy-warmup-samples 20 --proxy-decay-samples 20", "--proxy-warmup-fraction"),
        ("--proxy-warmup-samples -1", "--proxy-warmup-samples"),
        ("--proxy-warmup-fraction 0.1 --proxy-warmup-samples 3", "--proxy-warmup-samples"),
        ("--proxy-horizon-samples 0", "--proxy-horizon-samples"),
        ("--proxy-shuffle-block 0", "--proxy-shuffle-block"),
        ("--seq-length 4", "--seq-length"),
    ],
)
def test_what_cannot_be_is_refused_with_its_flag(flags, where):
    with pytest.raises(ConfigurationError) as error:
        settings(flags)
    assert where in error.value.where


def test_both_views_need_sentinels():
    with pytest.raises(ConfigurationError, match="vanilla"):
        settings("--proxy-mode vanilla --proxy-validation-view both").validation_schedule()


def test_parsing_twice_is_parsing_once():
    first, second = megatron_args.parse(), megatron_args.parse()
    assert vars(first) == vars(second)


def test_only_primitives_live_in_the_arguments():
    args = megatron_args.parse()
    resume.remember(args, arguments.settings(args), ("ab", "cd"))
    ours = {name: value for name, value in vars(args).items() if name.startswith("proxy_")}
    assert len(ours) == 19
    plain = {type(part) for value in ours.values() for part in (value if isinstance(value, list) else [value])}
    assert plain <= {str, int, float, bool, type(None)}
    assert pickle.loads(pickle.dumps(args)) == args


@pytest.mark.parametrize(
    ("flags", "where"),
    [
        ("--mock-data", "--mock-data"),
        ("--sft", "--sft"),
        ("--fim-data", "--fim-data"),
        ("--dataloader-type cyclic", "--dataloader-type"),
        ("--dataloader-type external", "--dataloader-type"),
        ("--phase-transition-iterations 3", "--phase-transition-iterations"),
        ("--dataloader-fast-cache-load", "--dataloader-fast-cache-load"),
        ("--dataloader-defer-npy-index-mmap", "--dataloader-defer-npy-index-mmap"),
        ("--per-dataset-sequences-path x.json", "--per-dataset-sequences-path"),
        ("--object-storage-cache-path x", "--object-storage-cache-path"),
        ("--hybrid-context-parallel", "--hybrid-context-parallel"),
        ("--overlap-moe-expert-parallel-comm", "--overlap-moe-expert-parallel-comm"),
        ("--cuda-graph-impl full_iteration", "--cuda-graph-impl"),
        ("--perform-rl-step", "--perform-rl-step"),
        ("--step-batch-size-schedule 0:4", "--step-batch-size-schedule"),
    ],
)
def test_unsupported_flags_are_refused_by_name(flags, where):
    with pytest.raises(UnsupportedError) as error:
        support.check_arguments(megatron_args.parse(flags))
    assert error.value.where.startswith(where)
    assert "--proxy-compression" in str(error.value)


@pytest.mark.parametrize(
    "flags",
    [
        "--reset-position-ids --reset-attention-mask --eod-mask-loss --context-parallel-size 2",
        "--bf16 --transformer-impl transformer_engine --fp8-format hybrid --recompute-activations",
        "--cross-entropy-loss-fusion --cross-entropy-fusion-impl te --calculate-per-token-loss",
        "--use-distributed-optimizer --overlap-grad-reduce --overlap-param-gather",
        "--tensor-model-parallel-size 2 --pipeline-model-parallel-size 2 --sequence-parallel --tp-comm-overlap",
        "--cuda-graph-impl local",
        "--cuda-graph-impl transformer_engine --cuda-graph-modules attn",
        "--step-batch-size-schedule 0:4 --train-samples 32",
    ],
)
def test_supported_flags_pass(flags):
    support.check_arguments(megatron_args.parse(flags))


def test_the_persistent_writer_of_checkpoints_is_refused_without_a_gpu(monkeypatch):
    args = megatron_args.parse("--async-save --use-persistent-ckpt-worker")
    support.check_arguments(args)
    monkeypatch.setattr(support.cpu, "installed", lambda: True)
    with pytest.raises(UnsupportedError, match=r"^--use-persistent-ckpt-worker without a GPU: .*\n.* leave out"):
        support.check_arguments(args)
    support.check_arguments(megatron_args.parse("--use-persistent-ckpt-worker"))


@pytest.mark.parametrize(
    ("flags", "fix"),
    [
        ("--mock-data", "leave out --mock-data"),
        ("--dataloader-type cyclic", "give --dataloader-type single, or leave it out"),
        ("--step-batch-size-schedule 0:4", "give the length of the run as --train-samples, in place of --train-iters"),
    ],
)
def test_a_refusal_says_what_to_do_instead(flags, fix):
    with pytest.raises(UnsupportedError) as error:
        support.check_arguments(megatron_args.parse(flags))
    assert error.value.fix == fix


def test_the_second_megatron_fsdp_is_refused():
    args = megatron_args.parse("--use-megatron-fsdp")
    args.megatron_fsdp_version = 1
    support.check_arguments(args)
    args.megatron_fsdp_version = 2
    with pytest.raises(UnsupportedError, match=r"^--megatron-fsdp-version 2: does not work with --proxy-compression: "):
        support.check_arguments(args)


def test_packed_documents_under_context_parallelism_are_refused():
    args = megatron_args.parse("--context-parallel-size 2")
    args.dataloader_inter_document_masking = True
    with pytest.raises(UnsupportedError, match="never checked"):
        support.check_arguments(args)


@pytest.mark.parametrize("argv", [["--yaml-cfg", "x.yaml"], ["--yaml-cfg=x.yaml"]])
def test_a_yaml_file_is_refused(argv):
    with pytest.raises(UnsupportedError, match="replaces the command line"):
        support.check_command_line(argv)
    support.check_command_line(["--proxy-compression", "zstd"])


@pytest.mark.parametrize("version", ["0.16.1", "0.21.0", "0.21.0rc1", "0.2", "1.0.0", "main"])
def test_other_releases_are_refused_with_the_supported_ones(version):
    with pytest.raises(UnsupportedError, match=rf"{version} is not supported; supported: 0\.18 and 0\.19"):
        support.check_version(version)


@pytest.mark.parametrize("version", ["0.17.1", "0.18.2", "0.19.0", "0.20.0", "0.20.0rc1"])
def test_supported_releases(version):
    support.check_version(version)


@pytest.mark.parametrize(
    ("sentinels", "flags"),
    [
        (False, ""),
        (True, "--mtp-num-layers 1 --pipeline-model-parallel-size 2"),
        (True, "--mtp-num-layers 1 --dataloader-inter-document-masking"),
        (True, "--init-model-with-meta-device"),
    ],
)
def test_what_the_format_embedding_cannot_do(sentinels, flags):
    if lacks := megatron_args.lacking(flags):
        pytest.skip(f"this Megatron has no {', '.join(lacks)}")
    support.check_format_embedding(megatron_args.parse("--mtp-num-layers 1"), True)
    with pytest.raises(UnsupportedError) as error:
        support.check_format_embedding(megatron_args.parse(flags), sentinels)
    assert error.value.where == "--proxy-format-embedding"


def test_flags_without_effect_are_found():
    argv = ["--tokenizer-type", "GPT2BPETokenizer", "--vocab-file=x", "--seed", "1"]
    assert support.ignored_flags(argv) == ["--tokenizer-type", "--vocab-file"]


def checkpointed(*flags, fingerprints=("ab",)):
    args = megatron_args.parse(*flags)
    resume.remember(args, arguments.settings(args), fingerprints)
    return args


def test_a_checkpoint_of_the_same_mix_needs_no_word():
    assert resume.differences(checkpointed(), checkpointed("--lr 1e-3")) == []
    assert resume.differences(checkpointed(), checkpointed("--train-iters 80 --proxy-horizon-samples 32")) == []


@pytest.mark.parametrize(
    ("flags", "found"), [("", (0, 0, 0)), ("--load x", (7, 28, 8)), ("--load x --finetune", (0, 0, 0))]
)
def test_plans_are_made_for_what_a_checkpoint_leaves(monkeypatch, flags, found):
    before = checkpointed()
    before.consumed_train_samples, before.consumed_valid_samples = 28, 8
    monkeypatch.setattr(resume.checkpoint, "read_common", lambda *_: {"args": before, "iteration": 7})
    args = checkpointed(flags)
    # As Megatron's validation leaves them.
    args.consumed_train_samples = args.consumed_valid_samples = 0
    resume.go_on(args)
    assert (args.iteration, args.consumed_train_samples, args.consumed_valid_samples) == found


def test_a_longer_run_without_a_horizon_is_warned():
    (line,) = resume.differences(checkpointed(), checkpointed("--train-iters 80"))
    assert "--proxy-horizon-samples: 32 in the checkpoint, now 320" in line


def test_what_decides_the_samples_is_warned_of_when_it_changes():
    (line,) = resume.differences(checkpointed(), checkpointed("--seed 7 --proxy-shuffle-block 2"))
    assert "(--seed: 1 in the checkpoint, now 7; --proxy-shuffle-block: None in the checkpoint, now 2)" in line
    (line,) = resume.differences(checkpointed(), checkpointed(fingerprints=("ab", "cd")))
    assert "(--data-path: some other compressor files)" in line


def test_a_checkpoint_of_samples_of_another_length_is_refused():
    with pytest.raises(ProxyError) as error:
        resume.differences(checkpointed(), checkpointed("--seq-length 32"))
    assert str(error.value).splitlines() == [
        "--seq-length: the checkpoint has read samples of 64 ids, and this run's have 32",
        "  what to do: give --seq-length 64, or --finetune to begin a new run from these weights",
    ]
    imported = checkpointed()
    imported.consumed_train_samples = 0
    assert resume.differences(imported, checkpointed("--seq-length 32")) == []


@pytest.mark.parametrize(
    ("before", "now", "word", "fix"),
    [
        ("", "--proxy-format-embedding", "without", "leave out --proxy-format-embedding"),
        ("--proxy-format-embedding", "", "with", "give --proxy-format-embedding"),
    ],
)
def test_a_checkpoint_with_another_format_embedding_is_refused(before, now, word, fix):
    with pytest.raises(ProxyError) as error:
        resume.differences(checkpointed(before), checkpointed(now))
    assert str(error.value).splitlines() == [
        f"--load: the checkpoint was trained {word} --proxy-format-embedding",
        f"  what to do: {fix}",
    ]


def test_a_checkpoint_of_another_model_of_the_compressor_is_refused():
    with pytest.raises(ProxyError, match="trained on views of another trie compressor, so its ids mean other things"):
        resume.differences(checkpointed(), checkpointed(fingerprints=("cd",)))


def test_a_checkpoint_of_other_ids_is_refused():
    with pytest.raises(ProxyError, match="with --proxy-compression zstd"):
        resume.differences(checkpointed("--proxy-compression zstd"), checkpointed())
    before = checkpointed()
    del before.proxy_compression
    with pytest.raises(ProxyError, match="without --proxy-compression"):
        resume.differences(before, checkpointed())


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--proxy-mod sentinel", "unrecognized arguments: --proxy-mod sentinel; did you mean '--proxy-mode'?"),
        ("--proxy-peak-rate much", "argument --proxy-peak-rate: invalid float value: 'much'"),
        ("--proxy-mode interlaced",
         "argument --proxy-mode: invalid choice: 'interlaced' (…); did you mean 'interleaved'?"),
        ("--proxy-peek-rate 0.5 --num-layers two",
         "argument --num-layers: invalid int value: 'two'; did you mean '--proxy-peak-rate' by '--proxy-peek-rate'?"),
    ],
)  # fmt: skip
def test_a_misspelt_flag_of_ours_is_told_in_two_lines(flags, message, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["pretrain_gpt.py", *flags.split()])
    parser = megatron_args.parser()
    with pytest.raises(SystemExit) as stopped:
        parser.parse_args()
    assert stopped.value.code == 2
    usage, told = capsys.readouterr().err.splitlines()
    assert usage == f"usage: {parser.prog} [options]"
    assert re.sub(r"\(choose from .*\)", "(…)", told) == f"{parser.prog}: error: {message}"


def test_megatrons_own_errors_stay_as_they_are(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["pretrain_gpt.py", "--num-layer", "2", "--proxy-compression", "zstd"])
    parser = megatron_args.parser()
    with pytest.raises(SystemExit):
        parser.parse_args()
    err = capsys.readouterr().err
    assert err == f"{parser.format_usage()}{parser.prog}: error: unrecognized arguments: --num-layer 2\n"
