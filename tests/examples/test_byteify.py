"""examples/byteify.sh and its experiment: their commands are ones that we and Megatron take, and each is run once."""

import dataclasses
import functools
import importlib.util
import json
import math
import runpy
import subprocess
import sys

import example_scripts
import pytest
from example_scripts import EXAMPLES

from megatron_proxy import cli

CONFIGURATIONS = sorted(path.stem for path in (EXAMPLES / "byteify").glob("*.env"))
STEPS = ["prepare", "import", "evaluate", "export"]

byteify = functools.partial(example_scripts.run, "byteify")


@pytest.fixture
def recorded(tmp_path):
    """Run byteify.sh with a recorder in Python's place; gives the calls."""
    return functools.partial(example_scripts.calls_of, "byteify", folder=tmp_path, ORIGINAL="hf")


@pytest.mark.long
@pytest.mark.parametrize("config", CONFIGURATIONS)
def test_our_commands_take_the_flags_and_each_runs_once(recorded, config):
    calls = recorded(config)
    found = [call[2] for call in calls if call[:2] == ["-m", "megatron_proxy"]]
    assert found == ["prepare", "import", *["evaluate"] * 4, *["export"] * 2]
    for call in calls:
        if call[:2] == ["-m", "megatron_proxy"]:
            cli.parser_of(call[2]).parse_args(call[3:])
    assert recorded(config) == []


@pytest.mark.long
@pytest.mark.parametrize("config", CONFIGURATIONS)
def test_megatron_takes_the_flags_of_training(recorded, config):
    pytest.importorskip("megatron.training")
    import megatron_args

    (call,) = [call for call in recorded(config) if "--train-iters" in call]
    flags = call[next(at for at, word in enumerate(call) if word.endswith("pretrain_gpt.py")) + 1 :]
    parsed = megatron_args.parser().parse_args(flags)
    # What import has printed is among them.
    assert parsed.qk_layernorm
    assert str(parsed.proxy_mode) == "interleaved"
    assert parsed.load.endswith("imported")


def test_what_is_missing_is_told(tmp_path):
    done = byteify("gpu", tmp_path / "out", INPUT="a", HELD_OUT="b")
    assert (done.returncode, done.stderr) == (2, "byteify.sh: set ORIGINAL to the folder of the model to begin from\n")
    done = byteify("nothing", tmp_path / "out")
    assert "known: cluster-8B.env cpu.env gpu.env smoke.env" in done.stderr
    done = byteify("smoke", tmp_path / "out", "fly", DRY_RUN="1")
    assert "unknown step fly; known: corpus, original" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.megatron
def test_from_an_original_to_its_bytes(tmp_path):
    """All steps, with an original by transformers' Trainer: what is exported writes the bytes of ``generate``."""
    pytest.importorskip("megatron.training")
    transformers = pytest.importorskip("transformers")
    out = tmp_path / "out"
    done = byteify("smoke", out)
    assert done.returncode == 0, done.stderr
    figures = {path.stem: json.loads(path.read_text()) for path in out.glob("*-*.json")}
    assert sorted(figures) == ["after-compressed", "after-raw", "before-compressed", "before-raw"]
    assert all(0 < figure["bpb"] < 20 for figure in figures.values())
    model = transformers.AutoModelForCausalLM.from_pretrained(out / "raw")
    tokenizer = transformers.AutoTokenizer.from_pretrained(out / "raw")
    inputs = tokenizer("import ", return_tensors="pt")
    written = model.generate(**inputs, max_new_tokens=20, do_sample=False)[0, inputs.input_ids.shape[1] :]
    command = ["generate", "--load", str(out / "run" / "checkpoint"), "--prompt", "import ", "--max-bytes", "20"]
    generated = subprocess.run(
        [sys.executable, "-m", "megatron_proxy", *command, "--allow-invalid-utf8"], capture_output=True, check=True
    ).stdout
    assert bytes(int(id_) - 64 for id_ in written if id_ >= 64) == generated[: -len(b"\n")]
    tokens = transformers.AutoModelForCausalLM.from_pretrained(out / "tokens")
    original = transformers.AutoModelForCausalLM.from_pretrained(out / "original")
    assert tokens.config.vocab_size == original.config.vocab_size == 500


@pytest.mark.long
def test_bits_per_byte_of_a_model_over_tokens(tmp_path, monkeypatch, capsys):
    """Of one window they are those of one pass; of a longer text all tokens are scored, and each once."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    import token_models

    folder = token_models.write(tmp_path / "hf", "Llama 2")
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("".join(json.dumps({"text": text}) + "\n" for text in ("return width", "not read")))
    script = str(EXAMPLES / "byteify" / "original.py")

    def told(*flags):
        monkeypatch.setattr(sys, "argv", [script, "bpb", str(corpus), str(folder), "--max-documents", "1", *flags])
        runpy.run_path(script, run_name="__main__")
        return json.loads(capsys.readouterr().out)

    model = transformers.AutoModelForCausalLM.from_pretrained(folder).float()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    ids = torch.tensor([model.config.bos_token_id, *tokenizer("return width", add_special_tokens=False).input_ids])

    def losses(part):
        with torch.inference_mode():
            return torch.nn.functional.cross_entropy(model(part[None, :-1]).logits[0], part[1:], reduction="none")

    whole = float(losses(ids).sum()) / math.log(2) / len("return width")
    assert told() == {"bpb": pytest.approx(whole, rel=1e-5), "bytes": 12}
    # Windows of four that go on by two: the first four targets, then the last two of each.
    parts = [losses(ids[:5]), *(losses(ids[first : first + 5])[2:] for first in range(2, len(ids) - 3, 2))]
    assert sum(map(len, parts)) == len(ids) - 1
    slid = float(sum(part.sum() for part in parts)) / math.log(2) / 12
    assert told("--context", "4")["bpb"] == pytest.approx(slid, rel=1e-5)
    assert slid != pytest.approx(whole, rel=1e-3)


@pytest.fixture(scope="module")
def experiment():
    spec = importlib.util.spec_from_file_location("experiment", EXAMPLES / "byteify" / "experiment.py")
    module = importlib.util.module_from_spec(spec)
    # Its dataclasses look up their module.
    sys.modules["experiment"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["experiment"]


def test_every_arm_is_run_at_every_size_share_and_seed(experiment):
    jobs = list(experiment.jobs())
    assert len(jobs) == 2 * 2 * 3 * 6 + 3 * 5
    assert len({(job.size, job.seed, job.folder) for job in jobs}) == len(jobs)


@pytest.mark.long
def test_megatron_takes_the_flags_of_every_arm(experiment):
    pytest.importorskip("megatron.training")
    import megatron_args

    for arm in (experiment.ARMS | experiment.TRIALS).values():
        megatron_args.parser().parse_args(["--proxy-compression", "hf", *arm.flags.split()])


def test_results_are_put_into_a_page(experiment, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{experiment.BEGIN}old\n{experiment.END}after\n")
    one = {"size": "small", "share": 0.2, "steps": 300, "tokens before": 1.9}
    kept = tmp_path / "results.jsonl"
    results = [
        {**one, "seed": seed, "arm": arm, "raw": raw, "tokens": tokens}
        for seed, arm, raw, tokens in (
            (1, "interleaved, 1/2 raw", 2.5, 2.0),
            (2, "bytes from scratch", 3.2, None),
            (1, "bytes from scratch", 3.0, None),
        )
    ]
    kept.write_text("".join(json.dumps(one) + "\n" for one in results))
    experiment.report(experiment.read(kept), page)
    lines = page.read_text().splitlines()
    assert lines[4:6] == [
        "| small | 300 | bytes from scratch | 2 | 3.100 ± 0.141 | - | 1.900 ± 0.000 |",
        "| small | 300 | interleaved, 1/2 raw | 1 | 2.500 | 2.000 | 1.900 |",
    ]
    assert lines[-2:] == [experiment.END.strip(), "after"]
    assert "![raw BPB by arm, small, 300 further steps](figures/byteify-small-300.svg)" in lines
    figure = (tmp_path / "figures" / "byteify-small-300.svg").read_text()
    assert figure.startswith("<svg")
    assert figure.count("<circle") == 3


def test_what_is_done_is_not_run_again(experiment, tmp_path, monkeypatch):
    runner, results = experiment.Runner(tmp_path, hours=1.0), tmp_path / "results.jsonl"
    ran = []
    monkeypatch.setattr(runner, "prepare", lambda: None)
    monkeypatch.setattr(runner, "run", lambda job: ran.append(job) or {**dataclasses.asdict(job), "raw": 1.0})
    chosen = list(experiment.jobs())[:3]
    experiment.run_all(runner, chosen[1:2], results)
    experiment.run_all(runner, chosen, results)
    assert ran == [chosen[1], chosen[0], chosen[2]]
    assert [one["arm"] for one in experiment.read(results)] == [job.arm for job in chosen]


def test_the_results_that_are_kept_are_of_its_jobs(experiment):
    jobs = {(job.size, job.seed, job.share, job.arm) for job in experiment.jobs()}
    kept = [(one["size"], one["seed"], one["share"], one["arm"]) for one in experiment.read(experiment.RESULTS)]
    assert kept
    assert len(set(kept)) == len(kept)
    assert set(kept) <= jobs
