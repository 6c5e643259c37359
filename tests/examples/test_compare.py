"""examples/compare.sh: its commands are ones that we and Megatron take, and nothing that is done is done again."""

import functools
import json
from pathlib import Path

import example_scripts
import pytest
from example_scripts import EXAMPLES

from megatron_proxy import cli

CONFIGURATIONS = sorted(path.stem for path in (EXAMPLES / "compare").glob("*.env") if path.stem != "cluster")

compare = functools.partial(example_scripts.run, "compare")


@pytest.fixture
def recorded(tmp_path):
    """Run compare.sh with a recorder in Python's place; gives the calls."""
    return functools.partial(example_scripts.calls_of, "compare", folder=tmp_path)


def of_kind(calls: list[list[str]], kind: str) -> list[list[str]]:
    """The calls of a command of ours, without what is before its name; or of the training script."""
    if kind == "train":
        return [call for call in calls if "--train-iters" in call]
    return [call[3:] for call in calls if call[:3] == ["-m", "megatron_proxy", kind]]


@pytest.mark.long
@pytest.mark.parametrize("config", CONFIGURATIONS)
def test_our_commands_take_the_flags(recorded, config):
    calls = recorded(config)
    runs = len(of_kind(calls, "train"))
    assert runs >= 3
    for command in ("prepare", "evaluate", "generate", "report"):
        parser = cli.parser_of(command)
        parsed = [parser.parse_args(flags) for flags in of_kind(calls, command)]
        assert parsed
    assert len(parsed) == 1
    assert len(parsed[0].runs) == runs


@pytest.mark.long
@pytest.mark.parametrize("config", ["smoke", "cpu", "gpu", "cluster-14B"])
def test_megatron_takes_the_flags_and_every_run_has_the_same_compute(recorded, config):
    pytest.importorskip("megatron.training", reason="megatron-core is not installed")
    import megatron_args

    from megatron_proxy.adaptor import arguments
    from megatron_proxy.data.sampling.schedule import Mode

    compute = set()
    mixes = {}
    for call in of_kind(recorded(config), "train"):
        script = next(i for i, word in enumerate(call) if word.endswith("pretrain_gpt.py"))
        args = megatron_args.parse(*call[script + 1 :])
        shape = ("num_layers", "hidden_size", "ffn_hidden_size", "num_attention_heads", "seq_length")
        amount = ("train_iters", "global_batch_size", "make_vocab_size_divisible_by", "tensor_model_parallel_size")
        compute.add(tuple(getattr(args, name) for name in (*shape, *amount)))
        schedule = arguments.settings(args).schedule
        mixes[Path(args.save).parent.name] = (schedule.at(0.0).rate, schedule.at(1.0).rate, schedule.at(1.0).mode)
    assert len(compute) == 1
    assert mixes["bytes"] == (0.0, 0.0, Mode.VANILLA)
    assert mixes["tokenizer-sentencepiece"] == (1.0, 1.0, Mode.VANILLA)
    for name, mix in mixes.items():
        if name.startswith(("proxy-", "interleaved-")):
            assert mix == ((0.4, 0.9, Mode.SENTINEL) if name.startswith("proxy-") else (0.4, 0.5, Mode.INTERLEAVED))


@pytest.mark.long
def test_what_is_done_is_not_done_again(recorded, tmp_path):
    first = recorded("smoke")
    assert len(of_kind(first, "train")) == 3
    again = recorded("smoke")
    assert [call[2] for call in again] == ["report"]
    # A training that was cut off goes on, from its own checkpoint.
    (tmp_path / "out/runs/bytes/checkpoint/latest_checkpointed_iteration.txt").write_text("2")
    (call,) = of_kind(recorded("smoke"), "train")
    assert call[call.index("--load") + 1] == str(tmp_path / "out/runs/bytes/checkpoint")


@pytest.mark.long
@pytest.mark.parametrize(
    ("run", "flags", "missing"),
    [
        ("proxy:sentencepiece", ["--proxy-compression sentencepiece"], ["peak-rate", "mode", "format-embedding"]),
        ("proxy:sentencepiece@0.75", ["--proxy-compression sentencepiece", "--proxy-peak-rate 0.75"], ["mode"]),
        (
            "interleaved:zstd@0.5+",
            [
                "--proxy-compression zstd",
                "--proxy-mode interleaved",
                "--proxy-peak-rate 0.5",
                "--proxy-format-embedding",
            ],
            [],
        ),
        ("interleaved:trie+", ["--proxy-compression trie", "--proxy-format-embedding"], ["peak-rate"]),
    ],
)
def test_rates_and_format_embeddings(recorded, run, flags, missing):
    (call,) = of_kind(recorded("smoke", run), "train")
    given = f"{' '.join(call)} "
    assert [flag for flag in flags if f"{flag} " not in given] == []
    assert [flag for flag in missing if f"--proxy-{flag} " in given] == []


@pytest.mark.long
def test_several_comparisons_share_their_data(recorded, tmp_path, monkeypatch):
    monkeypatch.setenv("DATA", str(tmp_path / "shared"))
    (call,) = of_kind(recorded("smoke", "prepare"), "prepare")
    assert call[call.index("--output-prefix") + 1] == str(tmp_path / "shared/data/corpus")
    (call,) = of_kind(recorded("smoke", "bytes"), "train")
    assert call[call.index("--data-path") + 1] == str(tmp_path / "shared/data/corpus")
    assert sorted(path.name for path in (tmp_path / "out").iterdir() if path.is_file()) == ["settings"]


@pytest.mark.long
def test_one_run_alone(recorded):
    assert [call[2] for call in recorded("smoke", "prepare")] == ["prepare"]
    calls = recorded("smoke", "bytes")
    assert (len(of_kind(calls, "prepare")), len(of_kind(calls, "train"))) == (0, 1)
    assert len(cli.parser_of("report").parse_args(of_kind(calls, "report")[0]).runs) == 1
    assert [call[2] for call in recorded("smoke", "report")] == ["report"]


@pytest.mark.parametrize(
    ("config", "runs", "environment", "said"),
    [
        ("nothing", (), {}, "there is no configuration"),
        ("gpu", (), {}, "set INPUT to the corpus"),
        ("smoke", (), {"INPUT": "a.jsonl"}, "INPUT needs HELD_OUT"),
        ("smoke", ("quick",), {"DRY_RUN": "1"}, "unknown run quick"),
        ("smoke", (), {"PYTHON": "no-such-python"}, "no no-such-python is found"),
    ],
)
def test_bad_input(tmp_path, config, runs, environment, said):
    done = compare(config, tmp_path / "out", *runs, **environment)
    assert done.returncode == 2
    assert said in done.stderr


def test_another_configuration_needs_another_folder(recorded, tmp_path):
    recorded("smoke", "prepare")
    done = compare("smoke", tmp_path / "out", STEPS="5", DRY_RUN="1", INPUT="a.jsonl", HELD_OUT="b.jsonl")
    assert done.returncode == 2
    assert "holds another configuration" in done.stderr
    assert "steps 5" in done.stderr


def test_a_dry_run_shows_every_command_and_does_nothing(tmp_path):
    done = compare("smoke", tmp_path / "out", DRY_RUN="1")
    assert done.returncode == 0
    shown = [line for line in done.stderr.splitlines() if line.startswith("$ ")]
    assert [sum(word in line for line in shown) for word in ("prepare", "--train-iters", " evaluate ", " report ")] == [
        1,
        3,
        3,
        1,
    ]
    assert not (tmp_path / "out").exists()


@pytest.mark.megatron
@pytest.mark.slow
def test_the_comparison_itself(tmp_path):
    pytest.importorskip("megatron.training", reason="megatron-core is not installed")
    done = compare("smoke", tmp_path / "out")
    assert done.returncode == 0, done.stderr[-4000:]
    bytes_only, tokenizer, interleaved = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert bytes_only["flops"] == tokenizer["flops"] == interleaved["flops"] > 0
    assert bytes_only["parameters"] == tokenizer["parameters"] == interleaved["parameters"]
    assert bytes_only["source_bytes"]["compressed"] == 0
    assert tokenizer["source_bytes"]["raw"] == 0
    # Of bytes alone every id is a byte or the end of a document.
    assert bytes_only["source_bytes"]["raw"] == pytest.approx(4 * 2 * 64, abs=8)
    assert [list(one["held_out_bpb"]) for one in (bytes_only, tokenizer, interleaved)] == [
        ["raw"],
        ["compressed"],
        ["raw"],
    ]
    # Nothing is learnt: about log2 of the vocabulary per byte.
    assert 8 < bytes_only["held_out_bpb"]["raw"] < 12
    assert [one["lacks"] for one in (bytes_only, tokenizer, interleaved)] == [[], [], []]
    assert "def " in (tmp_path / "out" / "compare.html").read_text()
