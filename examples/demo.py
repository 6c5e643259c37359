"""Proxy compression from a corpus to raw bytes, on this machine's CPU, in under ten minutes: ``make demo``.

Makes a corpus of the interpreter's own standard library, prepares its zstd view, pretrains a small GPT with
``--proxy-compression zstd --proxy-mode interleaved``, evaluates held-out files, generates, and writes into
``build/demo``: ``summary.json``, ``bpb.png`` (both views' BPB over training), the checkpoint and every command's log.
Each command is printed before it runs, so that it can be run by hand.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

from stdlib_corpus import write as write_corpus

from megatron_proxy.common.progress import Steps
from megatron_proxy.data.dataset import manifest
from megatron_proxy.tools.report import training_log

HERE = Path(__file__).parent
COMPRESSOR = "zstd"
# The vocabulary of the defaults is made for large models: here its rows would outweigh the whole network.
SMALL_VOCABULARY = ("--zstd-dictionary-bytes", "2048", "--zstd-phrases", "1024")
HELD_OUT = "8"
PROMPTS = (
    "import os\nimport sys\n\ndef main(args):\n    ",
    'class Node:\n    """A node."""\n\n    def __init__(self, value):\n        self.value = value\n\n    def ',
)

MODEL = """
    --num-layers 3 --hidden-size 96 --ffn-hidden-size 256 --num-attention-heads 4 --seq-length 512
    --max-position-embeddings 512 --position-embedding-type rope --normalization RMSNorm --swiglu
    --untie-embeddings-and-output-weights --disable-bias-linear --attention-dropout 0 --hidden-dropout 0
    --init-method-std 0.05
"""
TRAINING = """
    --micro-batch-size 4 --global-batch-size 4 --lr 4e-3 --min-lr 4e-4 --lr-decay-style cosine
    --lr-warmup-fraction 0.05 --weight-decay 0.1 --adam-beta2 0.95 --clip-grad 1.0 --split 98,2,0 --eval-iters 4
    --log-interval 10 --seed 1234
"""


def run(command: list[str], log: Path, steps: int | None = None) -> str:
    """Print and run one command; its output goes to a log file and comes back. Of a training run, steps are shown."""
    print(f"\n$ {shlex.join(command)}", flush=True)
    began = time.monotonic()
    training = Steps("  training", steps or 0, "steps", shown=steps is not None, log_interval=50)
    with log.open("w", encoding="utf-8") as file, _started(command) as process, training:
        for line in process.stdout or ():
            print(line, end="", file=file, flush=True)
            for entry in training_log.parse([line]).training:
                training.reach(entry.iteration, f"lm loss {entry.values.get('lm loss', math.nan):.3f}")
    text = log.read_text(encoding="utf-8")
    if status := process.returncode:
        sys.exit(f"{text[-4000:]}\nthe command above failed (exit code {status}); its whole output is in {log}")
    print(f"  … {time.monotonic() - began:.0f} s, output in {log}", flush=True)
    return text


def _started(command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace"
    )


def tool(name: str, *arguments: str | Path) -> list[str]:
    """A ``megatron-proxy`` command of this environment."""
    return [str(Path(sys.executable).with_name("megatron-proxy")), name, *map(str, arguments)]


def pretrain(folder: Path, checkpoint: Path, steps: int, *extra: str) -> list[str]:
    """The training command: Megatron's own flags, and ``--proxy-compression``."""
    launcher = [str(Path(sys.executable).with_name("torchrun")), "--standalone", "--nproc-per-node", "1"]
    return [
        *launcher,
        str(HERE / "pretrain_gpt.py"),
        *(f"--proxy-compression {COMPRESSOR} --proxy-mode interleaved --data-path {folder / 'stdlib'}".split()),
        *MODEL.split(),
        *TRAINING.split(),
        *(f"--train-iters {steps} --save {checkpoint} --save-interval {steps} --eval-interval {steps}".split()),
        *extra,
    ]


def evaluate(folder: Path, checkpoint: Path, name: str) -> float:
    """Raw BPB of the held-out files."""
    report = folder / f"{name}.json"
    held_out = ("--input", folder / "held_out.jsonl", "--max-documents", HELD_OUT)
    arguments = ("--load", checkpoint, *held_out, "--output", report)
    run(tool("evaluate", *arguments), folder / f"{name}.log")
    return float(json.loads(report.read_text())["bpb"])


def plot(log: training_log.TrainingLog, untrained: float, path: Path) -> None:
    """Both views' BPB over training, and the schedule beneath."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (above, below) = pyplot.subplots(
        2, 1, sharex=True, figsize=(8, 6), height_ratios=(3, 1), layout="constrained"
    )
    for view in ("raw", "compressed"):
        above.plot(*log.series(f"{view} bpb"), label=f"{view} view (training)")
    above.plot(*log.series("raw bpb", validation=True), "o", label="raw view (validation)")
    above.axhline(untrained, linestyle=":", color="gray", label="raw view, untrained")
    above.set(ylabel="bits per source byte", title="Proxy compression on Python's standard library", ylim=(0, None))
    above.legend()
    below.plot(*log.series("compressed rate"), color="black")
    below.set(xlabel="iteration", ylabel="rate", ylim=(0, 1))
    figure.savefig(path, dpi=120)


def table(summary: dict[str, object]) -> str:
    """The summary as aligned lines."""
    width = max(map(len, summary))
    return "\n".join(
        f"  {key:<{width}}  {value:.3f}" if isinstance(value, float) else f"  {key:<{width}}  {value}"
        for key, value in summary.items()
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("build/demo"))
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--max-documents", type=int, help="take only a part of the standard library")
    args = parser.parse_args()
    folder: Path = args.folder
    shutil.rmtree(folder, ignore_errors=True)
    os.environ.setdefault("OMP_NUM_THREADS", str(len(os.sched_getaffinity(0))))
    began = time.monotonic()

    print(f"corpus: {write_corpus(folder, args.max_documents)}", flush=True)
    prefix = folder / "stdlib"
    arguments = ("--input", folder / "train.jsonl", "--output-prefix", prefix, "--compressor", COMPRESSOR)
    run(tool("prepare", *arguments, *SMALL_VOCABULARY, "--workers", "2"), folder / "prepare.log")

    untrained = folder / "checkpoint-untrained"
    run(pretrain(folder, untrained, 1, "--lr", "0", "--min-lr", "0"), folder / "untrained.log")
    raw_bpb_untrained = evaluate(folder, untrained, "evaluate-untrained")

    checkpoint = folder / "checkpoint"
    printed = run(pretrain(folder, checkpoint, args.steps), folder / "pretrain.log", args.steps)
    log = training_log.parse(printed.splitlines())
    raw_bpb = evaluate(folder, checkpoint, "evaluate")
    for i, prompt in enumerate(PROMPTS):
        arguments = ("--load", checkpoint, "--prompt", prompt, "--max-bytes", "300", "--temperature", "0.8")
        print(run(tool("generate", *arguments, "--top-p", "0.9", "--seed", "1"), folder / f"generate-{i}.log"))
    plot(log, raw_bpb_untrained, folder / "bpb.png")

    prepared = manifest.read(prefix)
    summary = {
        "raw_bpb_untrained": raw_bpb_untrained,
        "raw_bpb": raw_bpb,
        "bytes_per_symbol": prepared.raw.units / prepared.compressed[COMPRESSOR].view.units,
        "documents": prepared.documents,
        "steps": args.steps,
        "seconds": round(time.monotonic() - began),
        "compressor": COMPRESSOR,
    }
    (folder / "summary.json").write_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n")
    print(f"\n{table(summary)}\n\nplot: {folder / 'bpb.png'}\nsummary: {folder / 'summary.json'}")


if __name__ == "__main__":
    main()
