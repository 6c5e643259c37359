"""The stand-in for torch.cuda. It changes torch for good, so whatever installs it runs in a process of its own."""

import argparse
import json
import textwrap

import interpreter
import pytest

torch = pytest.importorskip("torch")

from megatron_proxy.adaptor.cpu import choice, defaults  # noqa: E402
from megatron_proxy.errors import ConfigurationError  # noqa: E402


@pytest.fixture
def printed(training):
    """Runs lines of Python; gives what they print."""

    def printed(code: str) -> str:
        return training.python("-c", textwrap.dedent(code)).log

    return printed


@pytest.fixture
def answers(printed):
    """What lines of Python leave in ``out`` with the stand-in in force (without Megatron's arguments)."""

    def answers(code: str) -> dict:
        prelude = "import json, os; from megatron_proxy.adaptor.cpu import cuda, device, distributed\n"
        prelude += "import torch; cuda.install(); device.install(); distributed.install()\nout = {}\n"
        told = printed(prelude + textwrap.dedent(code) + "\nprint(json.dumps(out))")
        return json.loads(told.splitlines()[-1])

    return answers


def test_tensors_asked_for_on_cuda_are_made_on_the_cpu(answers):
    out = answers(
        """
        here = torch.cuda.current_device()
        tensors = {
            "string": torch.zeros(2, device="cuda"),
            "number": torch.ones(2, device=here),
            "device": torch.empty(2, device=torch.device("cuda", 0)),
            "indexed": torch.arange(2, device=f"cuda:{here}"),
            "to": torch.zeros(2).to("cuda"),
            "to number": torch.zeros(2).to(here),
            "to with dtype": torch.zeros(2).to("cuda", torch.int64),
            "to keyword": torch.zeros(2).to(device="cuda", dtype=torch.int64),
            "method": torch.zeros(2).cuda(here),
            "new": torch.zeros(2).new_ones(3, device="cuda"),
            "pinned": torch.zeros(2, pin_memory=True).pin_memory(),
            "module": torch.nn.Linear(2, 2).cuda().weight,
            "module to": torch.nn.Linear(2, 2).to("cuda").weight,
            "legacy": torch.cuda.FloatTensor([1.0]),
        }
        with torch.device("cuda"):
            tensors["context"] = torch.zeros(2)
        out = {name: [tensor.device.type, str(tensor.dtype)] for name, tensor in tensors.items()}
        """
    )
    assert {device for device, _ in out.values()} == {"cpu"}
    assert out["to with dtype"][1] == out["to keyword"][1] == "torch.int64"


def test_megatrons_optimizers_find_the_types_of_a_gpu(answers):
    out = answers(
        """
        out["float"] = torch.zeros(1).type()
        out["half"] = torch.zeros(1, dtype=torch.bfloat16).type()
        out["cast"] = torch.zeros(1).type(torch.int32).type()
        out["cast by name"] = torch.zeros(1).type("torch.cuda.LongTensor").type()
        """
    )
    assert out == {
        "float": "torch.cuda.FloatTensor",
        "half": "torch.cuda.BFloat16Tensor",
        "cast": "torch.cuda.IntTensor",
        "cast by name": "torch.cuda.LongTensor",
    }


def test_the_cpu_generator_and_the_cuda_generator_stay_apart(answers):
    out = answers(
        """
        def cpu(): return torch.rand(3).tolist()
        def cuda(): return torch.rand(3, device="cuda").tolist()
        x = torch.ones(1000)
        drop = torch.nn.functional.dropout

        torch.manual_seed(1)
        expected_cpu = cpu()
        torch.cuda.manual_seed(7)
        expected_cuda = cuda()
        torch.cuda.manual_seed(7)
        expected_drop = drop(x, 0.5)

        torch.manual_seed(1); torch.cuda.manual_seed(7)
        first_drop = drop(x, 0.5)
        out["dropout draws from cuda"] = bool(torch.equal(first_drop, expected_drop))
        out["dropout leaves the cpu alone"] = cpu() == expected_cpu
        torch.manual_seed(1); torch.cuda.manual_seed(7)
        cpu()
        out["the cpu leaves cuda alone"] = cuda() == expected_cuda
        state = torch.cuda.get_rng_state()
        again = cuda()
        torch.cuda.set_rng_state(state)
        out["cuda state can be restored"] = cuda() == again
        torch.manual_seed(3); one = cuda(); torch.manual_seed(3)
        out["manual_seed seeds cuda too"] = cuda() == one
        out["different"] = expected_cpu != expected_cuda
        """
    )
    assert all(out.values()), out


def test_streams_and_events_do_nothing_but_tell_the_time(answers):
    out = answers(
        """
        import time
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        with torch.cuda.stream(torch.cuda.Stream()):
            begin.record(); time.sleep(0.02); end.record()
        torch.cuda.current_stream().wait_stream(torch.cuda.Stream())
        end.synchronize()
        out["milliseconds"] = begin.elapsed_time(end)
        out["memory"] = torch.cuda.memory_allocated() + torch.cuda.memory_stats()["reserved_bytes.all.current"]
        out["count"] = torch.cuda.device_count()
        """
    )
    assert 20 <= out["milliseconds"] < 5000
    assert out["memory"] == 0
    assert out["count"] == 1


def test_nccl_becomes_gloo_and_a_lone_process_a_group_of_one(answers):
    out = answers(
        """
        torch.distributed.init_process_group(backend="nccl", device_id=torch.device("cuda:0"))
        group = torch.distributed.new_group([0], backend="nccl")
        x = torch.ones(2, device="cuda")
        torch.distributed.all_reduce(x, group=group)
        out["backends"] = [torch.distributed.get_backend(), torch.distributed.get_backend(group)]
        out["sum"] = x.tolist()
        # A port that was free a moment ago may be somebody's now.
        out["port"] = os.environ["MASTER_PORT"]
        torch.distributed.destroy_process_group()
        """
    )
    assert out == {"backends": ["gloo", "gloo"], "sum": [1.0, 1.0], "port": "0"}


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--transformer-impl", default="transformer_engine")
    parser.add_argument("--no-rope-fusion", action="store_false", dest="apply_rope_fusion")
    parser.add_argument("--rope-fusion", action="store_true", dest="apply_rope_fusion")
    parser.add_argument("--backend", type=int, default=1)
    return parser


FLAGS = ("--transformer-impl local", "--no-rope-fusion", "--backend 3", "--unknown-to-this-release")


@pytest.mark.parametrize(
    ("argv", "applied", "values"),
    [
        ([], list(FLAGS[:3]), ("local", False, 3)),
        (["--backend", "2"], list(FLAGS[:2]), ("local", False, 2)),
        (["--transformer-impl=transformer_engine"], list(FLAGS[1:3]), ("transformer_engine", False, 3)),
        (["--rope-fusion"], [FLAGS[0], FLAGS[2]], ("local", True, 3)),
    ],
)
def test_defaults_go_in_only_where_the_user_said_nothing(argv, applied, values):
    chosen = parser()
    assert defaults.set_defaults(chosen, FLAGS, argv) == applied
    args = chosen.parse_args(argv)
    assert (args.transformer_impl, args.apply_rope_fusion, args.backend) == values


def test_what_is_the_default_already_is_not_told():
    chosen = parser()
    assert defaults.set_defaults(chosen, ["--backend 1"], []) == []


def test_with_a_gpu_nothing_of_it_is_loaded(printed):
    told = printed(
        """
        import os, sys, torch
        torch.cuda.is_available = lambda: True
        before, environment = torch.Tensor.cuda, dict(os.environ)
        from megatron_proxy.adaptor import cpu
        loaded = [name for name in sys.modules if name.startswith("megatron_proxy.adaptor.cpu.")]
        print(cpu.install(), cpu.installed(), torch.Tensor.cuda is before, loaded)
        # TORCHDYNAMO_DISABLE, for one, would leave Megatron's fused functions uncompiled.
        print(dict(os.environ) == environment)
        """
    )
    assert told == "False False True []\nTrue\n"


ALONE = {}
ONE_NODE = {"RANK": "3", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "8"}
MANY_NODES = {"RANK": "3", "WORLD_SIZE": "16", "LOCAL_WORLD_SIZE": "8"}
BY_SRUN = {"RANK": "3", "WORLD_SIZE": "8"}


@pytest.mark.parametrize(
    ("environ", "argv", "devices"),
    [
        (ALONE, "", ["nvidia0"]),
        ({"WORLD_SIZE": "1", "RANK": "0"}, "", []),
        (ONE_NODE, "", ["nvidiactl", "null"]),
        ({**MANY_NODES, "MEGATRON_PROXY_CPU": "1"}, "", ["nvidia0"]),
        (MANY_NODES, "--distributed-backend gloo", []),
        (MANY_NODES, "--seed 1 --distributed-backend=gloo", []),
    ],
)
def test_the_cpu_stands_in_where_it_was_asked_for_or_no_rank_has_a_gpu(tmp_path, environ, argv, devices):
    (tmp_path / "dev").mkdir()
    for name in devices:
        (tmp_path / "dev" / name).touch()
    choice.require_choice(environ, argv.split(), tmp_path)


@pytest.mark.parametrize(
    ("environ", "argv", "devices"),
    [
        (MANY_NODES, "", []),
        (BY_SRUN, "", []),
        (ONE_NODE, "", ["nvidia0"]),
        (ONE_NODE, "", ["kfd"]),
        ({**MANY_NODES, "MEGATRON_PROXY_CPU": "0"}, "--distributed-backend nccl", []),
    ],
)
def test_a_rank_does_not_take_the_cpu_while_others_may_have_a_gpu(tmp_path, environ, argv, devices):
    (tmp_path / "dev").mkdir()
    for name in devices:
        (tmp_path / "dev" / name).touch()
    size = environ["WORLD_SIZE"]
    with pytest.raises(ConfigurationError, match=rf"^rank 3 of {size} on \S+ sees no GPU(.|\n)*MEGATRON_PROXY_CPU=1"):
        choice.require_choice(environ, argv.split(), tmp_path)


def test_a_node_without_a_gpu_ends_instead_of_taking_gloo(training):
    script = ("-c", "import megatron_proxy.adaptor", "--proxy-compression", "zstd")
    run = training.python(*script, code=1, **MANY_NODES, CUDA_VISIBLE_DEVICES="")
    assert "rank 3 of 16 on " in run.log
    assert "Traceback" not in run.log


def test_launcher_runs_a_script_as_python_would(training, tmp_path):
    script = tmp_path / "script.py"
    script.write_text("import sys, torch\nprint(__name__, sys.argv[1:], sys.path[0], torch.cuda.is_available())\n")
    run = training.python("-m", training.LAUNCHER, str(script), "--a", "b c", cwd=tmp_path)
    log, last = run.log.splitlines()
    assert log.startswith("megatron_proxy: no GPU found: Megatron runs on the CPU with gloo (1 process(es)")
    assert last == f"__main__ ['--a', 'b c'] {tmp_path} True"


def test_launcher_without_a_script_says_so(tmp_path):
    done = interpreter.run("-m", "megatron_proxy.adaptor.cpu", "missing.py", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, "megatron_proxy: there is no script 'missing.py'\n")


@pytest.fixture(scope="module")
def saved_run(training, tmp_path_factory):
    """Four iterations of one process, saved after the second; with the folder."""
    folder = tmp_path_factory.mktemp("saved")
    flags = (training.TINY, training.MOCK, training.NO_DROPOUT, f"--save {folder} --save-interval 2")
    run = training.train(*flags, cwd=folder)
    assert len(run.losses) == 4
    (folder / "latest_checkpointed_iteration.txt").write_text("2")
    return run, folder


def test_the_log_says_what_happens(saved_run):
    log = saved_run[0].log
    assert log.count("megatron_proxy: no GPU found: Megatron runs on the CPU with gloo (1 process(es), 1 thread") == 1
    assert log.count("megatron_proxy: put in for the CPU: --transformer-impl local --distributed-backend gloo") == 1
    warned = [line for line in log.splitlines() if "UserWarning" in line]
    assert [
        line for line in warned if "Transformer Engine" in line or "Apex" in line or "transformer-engine" in line
    ] == []


@pytest.mark.parametrize("parallel", ["--tensor-model-parallel-size 2", "--pipeline-model-parallel-size 2"])
def test_two_processes_go_on_where_one_stopped(training, saved_run, tmp_path, parallel):
    whole, folder = saved_run
    flags = (training.TINY, training.MOCK, training.NO_DROPOUT, f"--load {folder}", parallel)
    resumed = training.train(*flags, processes=2, cwd=tmp_path)
    assert len(resumed.losses) == 2
    # Megatron's first report after a start goes into its second one as well, hence not losses[1].
    assert resumed.losses[0] == pytest.approx(whole.losses[2], abs=2e-6)
    assert resumed.validation == pytest.approx(whole.validation, abs=2e-6)


def test_random_states_of_tensor_parallel_ranks_come_back(training, tmp_path):
    flags = (training.TINY, training.MOCK, "--tensor-model-parallel-size 2", f"--save {tmp_path} --save-interval 2")
    whole = training.train(*flags, processes=2, cwd=tmp_path)
    (tmp_path / "latest_checkpointed_iteration.txt").write_text("2")
    resumed = training.train(*flags, f"--load {tmp_path}", processes=2, cwd=tmp_path)
    assert resumed.losses[0] == whole.losses[2]
    assert resumed.validation == whole.validation
