"""Make the views of a corpus: the raw one, a compressed one for each compressor, and the manifest.

  megatron-proxy prepare --input corpus.jsonl --output-prefix data/corpus --compressor zstd --workers 8

Another compressor can be added to a prefix later: the raw view stays as it is, and --input may be left out. The output
does not depend on the number of workers. An interrupted run can simply be run again: what it left behind half-made is
cleared away, what it had finished (the raw view, a view, with --partitions a partition) is kept.

On many machines each makes a shard, and 'megatron-proxy merge' puts the shards together:

  megatron-proxy prepare … --shard $SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT --compressor-from zstd.json
"""

from __future__ import annotations

import argparse
import shlex
import signal
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from .. import compressors
from ..data.dataset import manifest
from . import _answer, _flags, _tokens

if TYPE_CHECKING:
    from ..data.prepare import Job

_WIDTH: Final = 768
"""Of GPT-2's smallest model."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags; those that tools/preprocess_data.py of Megatron-LM has too mean the same."""
    corpus = parser.add_argument_group("corpus")
    _flags.add_input(corpus, required=False)
    _flags.add_json_keys(corpus)
    _tokens.add_arguments(corpus)
    corpus.add_argument("--max-documents", type=int, metavar="N", help="take the first N documents only")
    corpus.add_argument("--shard", metavar="I/N", help="take the I-th of N shards only, counted from 0")
    output = parser.add_argument_group("output")
    output.add_argument(
        "--output-prefix", required=True, metavar="PREFIX", help="the dataset is PREFIX_raw_document.bin and so on"
    )
    output.add_argument(
        "--hidden-size",
        type=int,
        metavar="N",
        default=_WIDTH,
        help="width of the model to tell the rows' share of at the end (default: %(default)s)",
    )
    output.add_argument("--overwrite", action="store_true", help="replace a dataset or a view that differs")
    output.add_argument(
        "--dry-run",
        action="store_true",
        help="read the first megabytes only, tell what would be made, how large and how long, and write nothing",
    )
    group = parser.add_argument_group("compressors")
    group.add_argument(
        "--compressor",
        action="append",
        default=[],
        metavar="NAME",
        help="compressed views to make, separated by commas or given again; without it, the raw view only; "
        f"known: {', '.join(compressors.names())}",
    )
    group.add_argument(
        "--compressor-from",
        action="append",
        default=[],
        metavar="SOURCE",
        help="take the compressor as it is from another prefix, or from FILE.json that train-compressor wrote",
    )
    running = parser.add_argument_group("running")
    _flags.add_running(running)
    running.add_argument(
        "--partitions",
        type=int,
        default=1,
        metavar="N",
        help="make each compressed view in N parts: an interrupted run goes on after the last finished one",
    )
    running.add_argument(
        "--engine",
        choices=("local", "ray"),
        default="local",
        help="where to work: here, or as tasks of a Ray cluster (the one that RAY_ADDRESS names, or one started here)",
    )
    running.add_argument("--ray-shards", type=int, metavar="N", help="tasks of --engine ray (default: 4 for each core)")
    _answer.add_json(running)
    _flags.add_compressor_options(parser, compressors.names())


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    # Not for --help.
    from ..data.prepare import Job, prepare
    from ..data.prepare.recipe import recipes
    from ..data.shards.on_ray import prepare_on_ray

    names = _flags.split_names(args.compressor)
    _flags.check_counts(args, "hidden_size")
    options = _flags.compressor_options(args)
    given, own = _tokens.given(args, options)
    others = [name for name in names if name not in own]
    names = [*own, *others]
    job = Job(
        prefix=args.output_prefix,
        inputs=args.input,
        recipes=[*own.values(), *recipes(others, options, args.compressor_from)],
        keys=args.json_keys,
        workers=args.workers,
        partitions=args.partitions,
        shard=_flags.parse_shard(args.shard),
        max_documents=args.max_documents,
        given=given,
        overwrite=args.overwrite,
        log_interval=args.log_interval,
        **_flags.reading(args),
    )
    if args.dry_run:
        return _estimate(args, job)
    # What a scheduler sends before it kills: leave by the way that clears away.
    signal.signal(signal.SIGTERM, _terminate)
    with _answer.answering(args) as answer:
        prefixes = prepare_on_ray(job, args.ray_shards) if args.engine == "ray" else prepare(job)
        flags = ["--data-path", *prefixes, "--proxy-compression", names[0]] if names and job.shard is None else None
        if flags is not None:
            for line in _of_vocabularies(prefixes, names, args.hidden_size):
                answer.text(line)
            answer.text(f"train on it: {shlex.join(flags)}")
        if args.json:
            answer.content({"datasets": [_prepared(prefix) for prefix in prefixes], "train_with": flags})
    return 0


def _estimate(args: argparse.Namespace, job: Job) -> int:
    """Tell what the command would make."""
    from ..tools.estimate import estimate

    with _answer.answering(args) as answer:
        lines, content = estimate(job, args.hidden_size)
        for line in lines:
            answer.text(line)
        answer.content(content)
    return 0


def _prepared(prefix: str) -> dict[str, Any]:
    """A dataset for ``--json``: its size, and that of each compressed view that it has."""
    content = manifest.read(prefix)
    views = {
        name: {
            "codes": entry.view.units,
            "symbols": entry.num_symbols,
            "ids": entry.vocabulary.size,
            "bytes_per_code": content.raw.units / max(1, entry.view.units),
        }
        for name, entry in content.compressed.items()
    }
    return {
        "prefix": prefix,
        "documents": content.documents,
        "bytes": content.raw.units,
        "skipped_lines": content.source["skipped_lines"],
        "views": views,
    }


def _of_vocabularies(prefixes: Sequence[str], names: Sequence[str], width: int) -> Iterator[str]:
    """How many ids each view brings, what they take up in a model, and whether the corpus is enough for them."""
    from ..data.prepare import learning

    for prefix in prefixes:
        prepared = manifest.read(prefix)
        for name in names:
            vocabulary = prepared.compressed[name].vocabulary
            yield f"{prefix}: the {name} view has {learning.rows(vocabulary, width)}"
            if note := learning.too_small(prepared.raw.units, vocabulary):
                yield f"{prefix}: {note}"


def _terminate(number: int, frame: object) -> None:
    raise SystemExit(128 + number)
