"""What going on from a model over tokens is worth: raw BPB after equal further compute, BPB over tokens that is kept.

    python examples/byteify/experiment.py build/byteify-experiment --hours 6
    python examples/byteify/experiment.py build/byteify-experiment --report docs/byteify.md

For each size and seed a Llama is trained over tokens by transformers' Trainer (``original.py``), and imported. Each arm
goes on from it, or begins from nothing, for a share of the positions that the original was trained on: a window has as
many ids in each, and so a step costs as much. What is done is not done again, and training goes on from its last
checkpoint; after ``--hours`` nothing new is begun, so just run it again. A run adds a line to ``--results``, which is
kept here: what has a line is not run (to make all of it again, name another file). ``--report`` puts the lines between
the marks of a page, with a figure beside it.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

from megatron_proxy.common.pages import plots

EXAMPLES: Final = Path(__file__).resolve().parents[1]
RESULTS: Final = Path(__file__).with_name("results.jsonl")
BEGIN: Final = "<!-- results -->\n"
END: Final = "<!-- end of results -->\n"
CONTEXT: Final = 256
BATCH: Final = 8
VOCABULARY: Final = 2048
STRIDE: Final = 128
DOCUMENTS: Final = 700
HELD_OUT: Final = 12


@dataclass(frozen=True)
class Size:
    """A model, and how many steps its original is trained for, at which rate."""

    layers: int
    hidden: int
    heads: int
    steps: int
    lr: float


@dataclass(frozen=True)
class Arm:
    """A way of going on.

    Parameters
    ----------
    flags
        Of training: how views are mixed.
    scratch
        Whether it begins from nothing.
    rate
        The learning rate, as a multiple of the original's.
    byte_rows
        What bytes begin as.
    split
        What makes spans of the original's tokens.
    """

    flags: str
    scratch: bool = False
    rate: float = 0.5
    byte_rows: str = "tokens"
    split: str = "lines"


SIZES: Final = {
    "small": Size(layers=3, hidden=96, heads=4, steps=1500, lr=3e-3),
    "medium": Size(layers=4, hidden=192, heads=6, steps=1000, lr=2e-3),
}
SHARES: Final = (0.2, 1.0)
SEEDS: Final = (1, 2, 3)
_BYTES: Final = "--proxy-mode sentinel --proxy-peak-rate 0 --proxy-initial-rate 0 --proxy-warmup-fraction 0"


def _interleaved(compressed: float) -> str:
    return f"--proxy-mode interleaved --proxy-warmup-fraction 0 --proxy-peak-rate {compressed}"


ARMS: Final = {
    "bytes from scratch": Arm(_BYTES, scratch=True, rate=1.0),
    "bytes alone": Arm(_BYTES),
    "interleaved, 1/4 raw": Arm(_interleaved(0.75)),
    "interleaved, 1/2 raw": Arm(_interleaved(0.5)),
    "interleaved, 3/4 raw": Arm(_interleaved(0.25)),
    "the paper's schedule": Arm(""),
}
# What the defaults of import and of the recipe rest on: one thing is otherwise than in "interleaved, 1/2 raw".
TRIALS: Final = {
    "byte rows: means": Arm(_interleaved(0.5), byte_rows="mean"),
    "byte rows: drawn": Arm(_interleaved(0.5), byte_rows="drawn"),
    "rate / 4": Arm(_interleaved(0.5), rate=0.125),
    "rate x 2": Arm(_interleaved(0.5), rate=1.0),
    "spans of whole texts": Arm(_interleaved(0.5), split="tokens"),
}


@dataclass(frozen=True)
class Job:
    """One run of an arm."""

    size: str
    seed: int
    share: float
    arm: str

    @property
    def folder(self) -> str:
        """Its place below that of its original."""
        return re.sub(r"[^a-z0-9]+", "-", f"{self.arm}-{self.share}".lower()).strip("-")


def jobs() -> Iterator[Job]:
    """All runs, those that tell most first: every arm of a seed before the next seed."""
    for size in SIZES:
        for share in SHARES:
            for seed in SEEDS:
                yield from (Job(size, seed, share, arm) for arm in ARMS)
    yield from (Job("small", seed, 0.2, arm) for seed in SEEDS for arm in TRIALS)


class OutOfTime(Exception):  # noqa: N818 - no error
    """The hours are over."""


class Runner:
    """Runs commands with their output in files, each once.

    Parameters
    ----------
    folder
        Where everything is.
    hours
        After which nothing new is begun.
    scale
        What all numbers of steps are multiplied by: below 1 to try the script itself.
    """

    def __init__(self, folder: Path, hours: float, scale: float = 1.0) -> None:
        self.folder, self.scale = folder, scale
        self._end = time.monotonic() + 3600 * hours

    def once(self, done: Path, *command: object) -> None:
        """Run a command of Python's unless ``done`` is there; its output is kept beside it."""
        if done.exists():
            return
        if time.monotonic() > self._end:
            raise OutOfTime
        words = [str(word) for word in command]
        print("$", shlex.join(words), flush=True)
        done.parent.mkdir(parents=True, exist_ok=True)
        log = done.with_name(f"{done.name}.log")
        with log.open("w", encoding="utf-8") as output:
            ended = subprocess.run([sys.executable, *words], stdout=output, stderr=subprocess.STDOUT, check=False)
        if ended.returncode:
            sys.exit(f"failed; the end of {log}:\n" + "\n".join(log.read_text().splitlines()[-15:]))
        done.touch()

    def steps(self, size: Size, share: float = 1.0) -> int:
        """How many steps a share of the original's compute is."""
        return max(2, round(size.steps * share * self.scale))

    def prepare(self) -> None:
        """The corpus and the tokenizer."""
        corpus = self.folder / "corpus"
        self.once(self.folder / "corpus.done", EXAMPLES / "stdlib_corpus.py", corpus, "--max-documents", DOCUMENTS)
        make = (EXAMPLES / "byteify" / "original.py", "tokenizer", corpus / "train.jsonl", self.folder / "tokenizer")
        self.once(self.folder / "tokenizer.done", *make, "--vocabulary", VOCABULARY)

    def prepared(self, split: str) -> Path:
        """The prefix of the views by the tokenizer."""
        prefix, model = self.folder / "data" / split, self.folder / "tokenizer" / "tokenizer.json"
        views = ("--compressor", "hf", "--hf-model", model, "--hf-split", split)
        files = ("--input", self.folder / "corpus" / "train.jsonl", "--output-prefix", prefix)
        self.once(self.folder / f"{split}.done", "-m", "megatron_proxy", "prepare", *files, *views, "--overwrite")
        return prefix

    def original(self, job: Job) -> Path:
        """The model to begin from."""
        size, at = SIZES[job.size], self.folder / f"{job.size}-{job.seed}"
        shape = ("--layers", size.layers, "--hidden", size.hidden, "--heads", size.heads, "--context", CONTEXT)
        training = ("--batch", BATCH, "--steps", self.steps(size), "--lr", size.lr, "--seed", job.seed)
        make = (EXAMPLES / "byteify" / "original.py", "model", self.folder / "corpus" / "train.jsonl", at / "original")
        self.once(at / "original.done", *make, *shape, *training, "--tokenizer", self.folder / "tokenizer")
        return at

    def imported(self, at: Path, arm: Arm) -> tuple[Path, list[str]]:
        """The checkpoint of an original, and the flags that describe the model and its data."""
        target = at / f"imported-{arm.byte_rows}-{arm.split}"
        done = at / f"{target.name}.done"
        rows = ("--byte-rows", arm.byte_rows, "--output", target, "--overwrite")
        command = ("-m", "megatron_proxy", "import", "--load", at / "original", "--as-proxy")
        self.once(done, *command, "--prefix", self.prepared(arm.split), *rows)
        told = Path(f"{done}.log").read_text(encoding="utf-8")
        return target, shlex.split(told.split("pretrain_gpt.py --load ")[1].replace("…", ""))[1:]

    def raw_bpb(self, checkpoint: Path, output: Path) -> float:
        """Of held-out documents, in bits for each byte of the raw view; what closes it is left out."""
        documents = ("--input", self.folder / "corpus" / "held_out.jsonl", "--max-documents", HELD_OUT)
        command = ("-m", "megatron_proxy", "evaluate", "--load", checkpoint, *documents, "--stride", STRIDE)
        self.once(output.with_suffix(".done"), *command, "--output", output, "--overwrite")
        found: float = json.loads(output.read_text())["bpb_of_bytes_alone"]
        return found

    def token_bpb(self, model: Path) -> float:
        """Of the same documents, over the tokens of a folder's model: the original's, or one that was exported."""
        documents = (self.folder / "corpus" / "held_out.jsonl", model, "--max-documents", HELD_OUT)
        done = model.with_name(f"{model.name}-bpb.done")
        self.once(done, EXAMPLES / "byteify" / "original.py", "bpb", *documents)
        found: float = json.loads(Path(f"{done}.log").read_text().splitlines()[-1])["bpb"]
        return found

    def exported(self, checkpoint: Path, at: Path, arm: Arm) -> Path:
        """The model over tokens again, beside its checkpoint."""
        output = checkpoint.with_name("tokens")
        view = ("--view", "compressed", "--original", at / "original", "--data-prefix", self.prepared(arm.split))
        command = ("-m", "megatron_proxy", "export", "--load", checkpoint, *view)
        self.once(output.with_name("export.done"), *command, "--output", output, "--overwrite")
        return output

    def run(self, job: Job) -> dict[str, Any]:
        """One run: its figures."""
        size, arm = SIZES[job.size], (ARMS | TRIALS)[job.arm]
        at = self.original(job)
        imported, model = self.imported(at, arm)
        steps, place = self.steps(size, job.share), at / job.folder
        checkpoint = place / "checkpoint"
        resumes = (checkpoint / "latest_checkpointed_iteration.txt").exists()
        load = [] if arm.scratch and not resumes else ["--load", checkpoint if resumes else imported]
        training = (
            f"--micro-batch-size {BATCH} --global-batch-size {BATCH} --train-iters {steps} --lr {size.lr * arm.rate} "
            f"--min-lr {size.lr * arm.rate / 10} --lr-decay-style cosine --lr-warmup-fraction 0.05 --weight-decay 0.1 "
            f"--adam-beta2 0.95 --clip-grad 1.0 --init-method-std 0.05 --seed {job.seed} --split 98,2,0 "
            f"--eval-interval {steps} --eval-iters 1 --log-interval 10 --save-interval {min(steps, 250)}"
        )
        script = (
            EXAMPLES / "pretrain_gpt.py",
            *model,
            *arm.flags.split(),
            *training.split(),
            "--save",
            checkpoint,
            *load,
        )
        self.once(place / "train.done", *script)
        raw = self.raw_bpb(checkpoint, place / "raw.json")
        tokens = None if arm.scratch else self.token_bpb(self.exported(checkpoint, at, arm))
        before = self.token_bpb(at / "original")
        return {**asdict(job), "steps": steps, "raw": raw, "tokens": tokens, "tokens before": before}


def read(results: Path) -> list[dict[str, Any]]:
    """The runs that are done, in the order of the table."""
    lines = results.read_text(encoding="utf-8").splitlines() if results.exists() else []
    order = {job: at for at, job in enumerate(jobs())}
    return sorted(map(json.loads, lines), key=lambda one: order[_job(one)])


def _job(result: dict[str, Any]) -> Job:
    return Job(*(result[field.name] for field in fields(Job)))


def run_all(runner: Runner, chosen: list[Job], results: Path) -> None:
    """Every run that is not done, as far as the hours go; a line is added after each."""
    done = {_job(one) for one in read(results)}
    left = [job for job in chosen if job not in done]
    try:
        runner.prepare()
        for job in left:
            line = json.dumps(runner.run(job)) + "\n"
            with results.open("a", encoding="utf-8") as file:
                file.write(line)
    except OutOfTime:
        print("the hours are over; run it again to go on")


def _spread(values: list[float]) -> str:
    if not values:
        return "-"
    mean = statistics.fmean(values)
    return f"{mean:.3f}" + (f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else "")


def table(results: list[dict[str, Any]]) -> str:
    """Mean and standard deviation over seeds, as Markdown."""
    lines = ["| model | further steps | arm | seeds | raw BPB | BPB over tokens | before |", "| --- " * 7 + "|"]
    groups: dict[tuple[str, int, str], list[dict[str, Any]]] = {}
    for one in results:
        groups.setdefault((one["size"], one["steps"], one["arm"]), []).append(one)
    for (size, steps, arm), found in groups.items():
        told = [
            _spread([one[key] for one in found if one[key] is not None]) for key in ("raw", "tokens", "tokens before")
        ]
        lines.append(f"| {size} | {steps:,} | {arm} | {len(found)} | " + " | ".join(told) + " |")
    return "\n".join(lines) + "\n"


def figure(results: list[dict[str, Any]]) -> str:
    """Raw BPB of every run, by arm: of runs of one size and length."""
    rows: dict[str, list[float]] = {}
    for one in results:
        rows.setdefault(one["arm"], []).append(one["raw"])
    return plots.dots(rows, "Raw BPB by arm", "bits per raw byte, held out", marked="bytes from scratch").alone()


def report(results: list[dict[str, Any]], page: Path) -> None:
    """Put the table, and a figure for each size and length, between the marks of a page."""
    groups: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for one in results:
        groups.setdefault((one["size"], one["steps"]), []).append(one)
    pictures = []
    for (size, steps), found in groups.items():
        path = page.parent / "figures" / f"byteify-{size}-{steps}.svg"
        path.parent.mkdir(exist_ok=True)
        path.write_text(figure(found), encoding="utf-8")
        pictures.append(f"![raw BPB by arm, {size}, {steps:,} further steps](figures/{path.name})")
    before, rest = page.read_text(encoding="utf-8").split(BEGIN)
    after = rest.split(END)[1]
    told = "\n\n".join([table(results).rstrip("\n"), *pictures])
    page.write_text(f"{before}{BEGIN}{told}\n{END}{after}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--hours", type=float, default=6.0, help="begin nothing new after so long (default: %(default)s)"
    )
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES), help="only these")
    parser.add_argument("--arms", nargs="+", choices=ARMS | TRIALS, default=list(ARMS | TRIALS), help="only these")
    parser.add_argument("--shares", nargs="+", type=float, choices=SHARES, default=list(SHARES), help="only these")
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS), help="only these")
    parser.add_argument("--scale", type=float, default=1.0, help="of all numbers of steps, to try the script itself")
    parser.add_argument("--report", type=Path, metavar="PAGE", help="write what is done into a page, and run nothing")
    parser.add_argument("--results", type=Path, help="lines of runs (default: those kept here; FOLDER's with --scale)")
    args = parser.parse_args()
    results = args.results or (RESULTS if args.scale == 1.0 else args.folder / RESULTS.name)
    if args.report:
        report(read(results), args.report)
        return
    chosen = [
        job
        for job in jobs()
        if job.size in args.sizes and job.arm in args.arms and job.share in args.shares and job.seed in args.seeds
    ]
    run_all(Runner(args.folder, args.hours, args.scale), chosen, results)


if __name__ == "__main__":
    main()
