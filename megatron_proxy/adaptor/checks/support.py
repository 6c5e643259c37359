"""What of Megatron the plugin does not support, refused by name before the model is built."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from ...errors import UnsupportedError
from .. import cpu

SUPPORTED: Final = "0.18 and 0.19 from wheels or a checkout, 0.17 and 0.20 from a checkout"
_SUPPORTED_MINORS: Final = ((0, 17), (0, 18), (0, 19), (0, 20))

OWN_VOCABULARY: Final = (
    "--tokenizer-type",
    "--tokenizer-model",
    "--tokenizer-metadata",
    "--metadata-path",
    "--tokenizer-special-tokens",
    "--special-tokens",
    "--vocab-size",
    "--vocab-file",
    "--merge-file",
    "--vocab-extra-ids",
    "--tiktoken-pattern",
    "--tiktoken-num-special-tokens",
    "--tiktoken-special-tokens",
    "--null-tokenizer-eod-id",
    "--null-tokenizer-pad-id",
    "--use-gigatoken",
)
"""Flags without effect: the vocabulary is that of the prepared dataset."""


def check_version(version: str) -> None:
    """Refuse a Megatron whose private names were never checked.

    Raises
    ------
    UnsupportedError
        With the version found and the supported ones.
    """
    match = re.match(r"(\d+)\.(\d+)", version)
    if not match or (int(match[1]), int(match[2])) not in _SUPPORTED_MINORS:
        raise UnsupportedError(
            f"Megatron-Core {version} is not supported; supported: {SUPPORTED}",
            fix="install a supported release, or run without --proxy-compression",
        )


class Refusal(NamedTuple):
    """A flag that does not work, why, what to do if not to leave it out, and when it counts as given, if not always."""

    flag: str
    why: str
    fix: str | None = None
    when: Callable[[argparse.Namespace], Any] | None = None

    def given(self, args: argparse.Namespace) -> bool:
        """Whether the arguments have it; releases without the flag do not."""
        usual = self.flag.removeprefix("--").replace("-", "_")
        return bool(getattr(args, usual, None) if self.when is None else self.when(args))


def _full_iteration_graph(args: argparse.Namespace) -> bool:
    scope = getattr(args, "cuda_graph_scope", None) or []
    names = {str(getattr(item, "name", item)) for item in (scope if isinstance(scope, list) else [scope])}
    return getattr(args, "cuda_graph_impl", None) == "full_iteration" or "full_iteration" in names


REFUSALS: Final[Sequence[Refusal]] = (
    Refusal("--mock-data", "mock data has no views"),
    Refusal("--sft", "it reads conversations, not prepared views"),
    Refusal("--fim-data", "it rearranges documents of one view"),
    Refusal("--perform-rl-step", "its data come from a policy, not from prepared views"),
    Refusal(
        "--dataloader-type",
        "only with 'single' is a sample's index its place in the run, which the schedule goes by",
        "give --dataloader-type single, or leave it out",
        lambda args: getattr(args, "dataloader_type", "single") not in (None, "single"),
    ),
    Refusal(
        "--step-batch-size-schedule with --train-iters",
        "how many samples the run has, which the schedule spans, is only known from --train-samples",
        "give the length of the run as --train-samples, in place of --train-iters",
        lambda args: getattr(args, "step_batch_size_schedule", None) and not args.train_samples,
    ),
    Refusal("--phase-transition-iterations", "it restarts the sample index"),
    Refusal("--dataloader-fast-cache-load", "it takes caches without a check"),
    Refusal("--dataloader-defer-npy-index-mmap", "it needs stock's caches"),
    Refusal("--per-dataset-sequences-path", "it describes one view only"),
    Refusal("--object-storage-cache-path", "views are read from a file system"),
    Refusal("--hybrid-context-parallel", "it repacks samples by length"),
    Refusal(
        "--overlap-moe-expert-parallel-comm",
        "it bypasses the model's forward pass, where the labels are read for the losses of each view",
    ),
    Refusal("--cuda-graph-impl full_iteration", "replays skip the per-view losses", when=_full_iteration_graph),
    Refusal("--logits-load-dir", "a distillation loss is no cross-entropy of bytes"),
    Refusal("--modelopt-enabled", "its losses were never checked"),
    Refusal(
        "--use-persistent-ckpt-worker without a GPU",
        "the process that writes checkpoints never comes to an end there",
        "leave out --async-save",
        lambda args: cpu.installed() and args.async_save and getattr(args, "use_persistent_ckpt_worker", False),
    ),
    Refusal(
        "--megatron-fsdp-version 2",
        "it needs GPUs and was never checked",
        when=lambda args: getattr(args, "use_megatron_fsdp", False) and getattr(args, "megatron_fsdp_version", 1) > 1,
    ),
    Refusal("--use-legacy-models", "the legacy models were never checked"),
    Refusal(
        "--tensor-parallel-num-weight-shards",
        "the per-view sums do not know its groups",
        when=lambda args: getattr(args, "gtp_weight_remat_size", 1) > 1,
    ),
    Refusal(
        "--context-parallel-size with --dataloader-inter-document-masking",
        "where the ranks' pieces of packed windows lie was never checked",
        "leave out one of the two",
        lambda args: args.context_parallel_size > 1 and getattr(args, "dataloader_inter_document_masking", False),
    ),
)


def check_arguments(args: argparse.Namespace) -> None:
    """Refuse, by name, flags that do not work together with ``--proxy-compression``.

    Raises
    ------
    UnsupportedError
        For the first such flag.
    """
    for refusal in REFUSALS:
        if refusal.given(args):
            raise UnsupportedError(
                f"does not work with --proxy-compression: {refusal.why}",
                where=refusal.flag,
                fix=refusal.fix or f"leave out {refusal.flag}",
            )


def check_format_embedding(args: argparse.Namespace, sentinels: bool) -> None:
    """Refuse what cannot be combined with the format embedding; ``sentinels``: whether the run's views stand in them.

    Raises
    ------
    UnsupportedError
        A mode without sentinels; weights that are made without values; or multi-token prediction where its own copy of
        the embedding would not be kept equal, or would lose the beginning of packed documents.
    """
    flag = "--proxy-format-embedding"
    if not sentinels:
        raise UnsupportedError("the mode vanilla has no sentinels to tell the format", where=flag)
    if getattr(args, "init_model_with_meta_device", False):
        raise UnsupportedError("does not work with --init-model-with-meta-device: its zeros would be lost", where=flag)
    if getattr(args, "mtp_num_layers", None):
        if args.pipeline_model_parallel_size > 1:
            raise UnsupportedError(
                "with --mtp-num-layers the last pipeline stage has a second copy of the format vectors, which Megatron "
                "does not keep equal to the first",
                where=flag,
                fix="leave out one of the two, or use --pipeline-model-parallel-size 1",
            )
        if getattr(args, "dataloader_inter_document_masking", False):
            raise UnsupportedError(
                "does not work with --mtp-num-layers and --dataloader-inter-document-masking together", where=flag
            )


def check_command_line(argv: Sequence[str]) -> None:
    """Refuse what would throw the plugin's own flags away before they can be read.

    Raises
    ------
    UnsupportedError
        For ``--yaml-cfg``, which replaces the parsed arguments by those of a file.
    """
    if any(argument.partition("=")[0] == "--yaml-cfg" for argument in argv):
        raise UnsupportedError(
            "does not work with --proxy-compression: the file replaces the command line",
            where="--yaml-cfg",
            fix="give the settings as flags",
        )


def ignored_flags(argv: Sequence[str] | None = None) -> list[str]:
    """The flags on the command line that have no effect with ``--proxy-compression``."""
    given = {argument.partition("=")[0] for argument in (sys.argv[1:] if argv is None else argv)}
    return [flag for flag in OWN_VOCABULARY if flag in given]
