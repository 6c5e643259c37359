"""Hooks around Megatron's training loop that bring the per-view measures into its logs.

A training line ends with fields like these, and TensorBoard and W&B get the same values::

    raw bpb: 3.1E+00 | compressed bpb: 2.2E+00 | compressed rate: 6.5E-01 | mode: translation_random |
    raw bytes seen: 1200 | compressed bytes seen: 3400 | raw share: 2.6E-01 |

Bytes seen are source bytes, each counted in the view in which it was read. A validation line gets the two BPB fields.

Megatron is never handed these figures, only its own losses: it takes every figure of an evaluation for nats, and makes
a perplexity of it for its line and for the writers (``--log-validation-ppl-to-tensorboard``). Ours are bits.
"""

from __future__ import annotations

import argparse
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch

from .. import run
from ..checks import swapped
from ..run import Run
from . import bytes_seen, losses
from .metrics import Line, Metrics, given_to_log


class Validation:
    """What one call of Megatron's ``evaluate_and_print_results`` finds out: the BPB of one set after the other.

    Its figures go to the log, and if they are to be ``written`` to TensorBoard and W&B.
    """

    def __init__(self, args: argparse.Namespace, iteration: int, written: bool) -> None:
        self.iteration = iteration
        self._args = args
        self._written = written
        self._sets = 0
        self._bits: dict[str, float] = {}
        self._nats: Mapping[str, Any] = {}

    def figures(self) -> dict[str, float]:
        """Megatron's own losses of the last set, and its BPB."""
        return {key: float(value) for key, value in self._nats.items()} | self._bits

    def add(self, bits: dict[str, float], nats: Mapping[str, Any]) -> None:
        """Take the BPB of the next set, and write it under the names that Megatron has for losses (``nats``)."""
        self._bits, self._nats = bits, nats
        kind = f"validation{self._suffix()}"
        self._sets += 1
        if self._written and bits:
            values = {f"{key} {kind}": value for key, value in bits.items()}
            _write(values, self.iteration, self._args.consumed_train_samples)

    def fields(self) -> str:
        """The last set's fields, as Megatron prints its own losses."""
        return "".join(f"{key} value: {value:.6E} | " for key, value in self._bits.items())

    def _suffix(self) -> str:
        """What Megatron calls one of several sets."""
        if not self._args.multiple_validation_sets:
            return ""
        names = getattr(self._args, "validation_set_names", None)
        return f"-{names[self._sets] if names else self._sets}"


class Report:
    """The measures of one run in one process."""

    def __init__(self, current: Run) -> None:
        self._source_bytes = torch.tensor(current.source_bytes, dtype=torch.float64, device="cuda")
        self._run = current
        self.meter = self.new_meter()
        self.metrics = Metrics(current)
        self.validation: Validation | None = None
        self.line: Line | None = None
        self._bytes_seen = bytes_seen.BytesSeen(current.training)
        # Since the last writing to TensorBoard or W&B, and since the last line.
        self._since = torch.zeros(2, 4, dtype=torch.float64, device="cuda")

    def new_meter(self) -> losses.Meter:
        """A meter that has measured nothing yet."""
        return losses.Meter(self._source_bytes, self._run.args.seq_length)

    def training_step(
        self, iteration: int, skipped: bool, first: bool, given: Callable[[], dict[str, float]] = dict
    ) -> None:
        """Take the iteration's micro-batches, and where Megatron is about to log, prepare what goes into its logs.

        An iteration whose update was skipped does not count, as in Megatron's own mean. The line after the first
        iteration does not begin a new interval. What was measured before the first iteration belongs to steps that were
        rolled back, by a restart within the process.
        """
        args = self._run.args
        if first:
            self.meter.sums = losses.Sums(self._source_bytes)
            self._since.zero_()
        self.meter.end_pass(counts=not skipped)
        # All ranks must agree on this: what follows are collectives.
        logs = first or iteration % args.log_interval == 0
        writes = _has_writers(args) and iteration % args.tensorboard_log_interval == 0
        if logs or writes:
            self._since += self.meter.sums.take()
            self._log(iteration, logs, writes, given)
            if writes:
                self._since[0].zero_()
            if logs and not first:
                self._since[1].zero_()

    def _log(self, iteration: int, logs: bool, writes: bool, given: Callable[[], dict[str, float]]) -> None:
        """Write to TensorBoard and W&B, make the line's part: on the last rank, which alone waits for the GPU."""
        samples = self._run.args.consumed_train_samples
        totals = losses.over_ranks(self._since)
        seen = bytes_seen.for_last_rank(self._bytes_seen, samples)
        if not bytes_seen.is_last_rank():
            return
        since_write, since_line, seen = torch.cat([totals.flatten(), seen]).cpu().split([4, 4, 2])
        progressed = self._progress(samples, *map(int, seen.tolist()))
        if writes:
            _write(losses.bits_per_byte(since_write) | progressed, iteration, samples)
        if logs:
            # Asking for Megatron's figures waits for the GPU once more.
            self.line = Line(
                iteration,
                self._run.settings.mix(samples).mode.value,
                given() if self.metrics.wanted else {},
                losses.bits_per_byte(since_line) | progressed,
            )

    def _progress(self, samples: int, raw: int, compressed: int) -> dict[str, float]:
        """Rate in force and bytes seen."""
        values: dict[str, float] = {
            "compressed rate": self._run.settings.mix(samples).rate,
            "raw bytes seen": raw,
            "compressed bytes seen": compressed,
        }
        if raw + compressed:
            values["raw share"] = raw / (raw + compressed)
        return values


def _has_writers(args: argparse.Namespace) -> bool:
    """Whether the run logs to TensorBoard or W&B, which the last rank does for all."""
    return bool(getattr(args, "tensorboard_dir", None) or getattr(args, "wandb_project", None))


def _suffix(values: Mapping[str, float], mode: str) -> str:
    fields = [f" {key}: {_format(value)} |" for key, value in values.items()]
    return "".join([*fields, f" mode: {mode} |"])


def _format(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.6E}"


def _write(values: dict[str, float], iteration: int, samples: int) -> None:
    """Give the values to TensorBoard and W&B, under the names that Megatron would use."""
    from megatron.training.global_vars import get_tensorboard_writer, get_wandb_writer

    if (writer := get_tensorboard_writer()) is not None:
        for key, value in values.items():
            writer.add_scalar(key, value, iteration)
            writer.add_scalar(f"{key} vs samples", value, samples)
    if (wandb := get_wandb_writer()) is not None:
        wandb.log(values, iteration)


def _report(current: Run) -> Report:
    """The report of the run, which begins here."""
    if current.report is None:
        current.report = Report(current)
    return current.report


def _by_name(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a call, defaults among them."""
    given = inspect.signature(function).bind(*args, **kwargs)
    given.apply_defaults()
    return given.arguments


@run.hook
def measure_views(get_forward_backward_func: Callable[..., Any], current: Run, *args: Any, **kwargs: Any) -> Any:
    """Megatron's schedule of forward and backward passes, with the per-view sums taken along."""
    stock = get_forward_backward_func(*args, **kwargs)

    @functools.wraps(stock)
    def forward_backward(*, forward_step_func: Callable[..., Any], model: Any, **rest: Any) -> Any:
        swapped.check_once(current, model)
        report = _report(current)
        report.metrics.see(model)
        # Megatron counts a step of an evaluation once, however often it had to be run.
        report.meter.begin_pass(current.args.consumed_valid_samples)
        reports = stock(forward_step_func=report.meter.measuring(forward_step_func), model=model, **rest)
        swapped.check_measured(report.meter)
        return reports

    return forward_backward


@run.hook
def log_training(training_log: Callable[..., Any], current: Run, *args: Any, **kwargs: Any) -> Any:
    """Megatron's ``training_log``, its line and its writers with the per-view measures."""
    report, given = _report(current), _by_name(training_log, args, kwargs)
    iteration, skipped, first = (given[name] for name in ("iteration", "skipped_iter", "is_first_iteration"))
    report.training_step(iteration, bool(skipped), bool(first), functools.partial(given_to_log, given))
    try:
        return training_log(*args, **kwargs)
    finally:
        report.line = None


@run.hook
def log_validation(evaluate_and_print_results: Callable[..., Any], current: Run, *args: Any, **kwargs: Any) -> Any:
    """Megatron's validation: its evaluations, lines and writers, with the BPB of each view that occurred."""
    report, given = _report(current), _by_name(evaluate_and_print_results, args, kwargs)
    report.validation = Validation(current.args, given["iteration"], given["write_to_tensorboard"])
    try:
        return evaluate_and_print_results(*args, **kwargs)
    finally:
        report.validation = None


@run.hook
def log_evaluation(evaluate: Callable[..., Any], current: Run, *args: Any, **kwargs: Any) -> Any:
    """Megatron's ``evaluate``, which has a meter of its own; its sums go to the validation in progress."""
    report = _report(current)
    training, report.meter = report.meter, report.new_meter()
    report.meter.measured = training.measured
    try:
        totals, *rest = evaluate(*args, **kwargs)
        report.meter.end_pass()
        sums = report.meter.sums.take()
    finally:
        report.meter = training
    if report.validation is not None:
        # On other pipeline stages Megatron has no losses at all; out of time it gives None.
        report.validation.add(losses.bits_per_byte(losses.over_ranks(sums)) if totals else {}, totals or {})
    return totals, *rest


@run.hook
def extend_line(print_rank_last: Callable[..., Any], current: Run, message: Any, *args: Any, **kwargs: Any) -> Any:
    """Megatron's printer of log lines: those of training and of validation get the measures behind their own fields."""
    if current.report is not None and isinstance(message, str):
        message += _measures(current.report, message)
    return print_rank_last(message, *args, **kwargs)


def _measures(report: Report, message: str) -> str:
    """What a line gets: nothing, unless it is the one that the measures in hand belong to."""
    if report.validation is not None:
        if " loss at " not in message:
            return ""
        if report.metrics.wanted and bytes_seen.is_last_rank():
            report.metrics.validation(report.validation.iteration, message, report.validation.figures())
        return report.validation.fields()
    line = report.line
    if line is None or " iteration " not in message:
        return ""
    report.metrics.training(line, message)
    report.line = None
    return _suffix(line.ours, line.mode)
