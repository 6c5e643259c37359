"""The whole of ``prepare``: lock, raw view, then one compressed view after the other, each published when whole.

What can be checked before the corpus is read is checked then, for every compressor (:func:`checked`) and every dataset.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import replace

from ...common.progress import Progress
from ...errors import ConfigurationError, CorpusError, DatasetError
from ..corpus import Source
from ..dataset.manifest import View
from .compressed_view import check_place, make_view
from .dataset import Dataset
from .job import Job
from .lock import locked
from .raw_view import BadLines, Comparison, Different, take
from .repeat import check_samples
from .staging import PendingView


def prepare(job: Job) -> list[str]:
    """Prepare a corpus; returns the prefixes of the datasets, one per key.

    Whatever the user can mend is a ProxyError. Nothing half-made is left behind.
    """
    files = job.files() if job.has_corpus else None
    job = checked(job)
    with ExitStack() as stack:
        prefixes = [job.dataset_prefix(key) for key in job.keys]
        locks = [stack.enter_context(locked(prefix)) for prefix in prefixes]
        datasets = [Dataset(*one, overwrite=job.overwrite) for one in zip(prefixes, locks, strict=True)]
        for dataset in datasets:
            for recipe in job.recipes:
                check_place(job, dataset, recipe)
        _make_raw(job, files, datasets)
        for dataset in datasets:
            for recipe in job.recipes:
                make_view(job, dataset, recipe)
    return prefixes


def checked(job: Job) -> Job:
    """The job with every compressor that has nothing to learn, made and tried on a few documents.

    What a compressor needs and does not have, or does not promise, is a ProxyError.
    """
    job = replace(job, recipes=[recipe.checked() for recipe in job.recipes])
    for recipe in job.recipes:
        if job.shard is not None:
            recipe.check_shard()
        if recipe.made is not None:
            check_samples(recipe.made, job.workers, job.worker_modules)
    return job


def _make_raw(job: Job, files: Sequence[Source] | None, datasets: Sequence[Dataset]) -> None:
    """See to it that every dataset has the raw view of this corpus."""
    if files is None:
        for dataset in datasets:
            if dataset.manifest is None:
                raise ConfigurationError(
                    f"{dataset.prefix!r} is not prepared yet: the corpus is needed", where="--input"
                )
        return
    try:
        _take(job, files, datasets, [dataset.manifest is not None for dataset in datasets])
    except Different as different:
        if not job.overwrite:
            raise DatasetError(
                f"holds another corpus than --input ({different})",
                where=job.shown_prefix,
                fix="choose another --output-prefix, or replace the dataset with --overwrite",
            ) from None
        _take(job, files, datasets, [False] * len(datasets))


def _take(job: Job, files: Sequence[Source], datasets: Sequence[Dataset], compare: Sequence[bool]) -> None:
    """Write the raw views, or compare with those that are there."""
    with ExitStack() as stack:
        bad_lines = stack.enter_context(closing(BadLines([dataset.layout for dataset in datasets])))
        sinks: list[PendingView | Comparison] = []
        for dataset, there in zip(datasets, compare, strict=True):
            sinks.append(stack.enter_context(closing(_comparison(dataset) if there else dataset.pending_raw())))
        label = f"{job.shown_prefix}: {'comparing with the' if all(compare) else 'writing the'} raw view"
        with Progress(label, job.disk_bytes(files), log_interval=job.log_interval) as progress:
            count = take(job, files, [sink.add for sink in sinks], bad_lines, progress)
        finished = [sink.finish() for sink in sinks]
        _check_not_empty(job, count, finished)
        if not all(compare):
            bad_lines.publish()
        for key, dataset, sink, view in zip(job.keys, datasets, sinks, finished, strict=True):
            if isinstance(sink, PendingView):
                dataset.publish_raw(sink, view, count, job.source(files, key, bad_lines.count, bad_lines.left_out))
            job.report(f"{dataset.prefix}: {count:,} documents, {view.units:,} bytes in the raw view")
        if bad_lines.left_out:
            shown = ", ".join(f"{count:,} {what}" for what, count in sorted(bad_lines.left_out.items()))
            job.report(f"{'files' if job.given is None else 'ids'} that were left out: {shown}")
        if bad_lines.count:
            job.report(f"{bad_lines.count:,} bad lines were passed over: {bad_lines.path} lists them")


def _comparison(dataset: Dataset) -> Comparison:
    try:
        return Comparison(dataset.prepared.raw(), dataset.prepared.manifest.raw)
    except DatasetError as error:
        if dataset.overwrite:
            raise Different(str(error)) from error
        raise


def _check_not_empty(job: Job, count: int, finished: Sequence[View]) -> None:
    """A shard may be empty: the others have the documents."""
    if job.shard is None and not count:
        raise CorpusError("the corpus holds no documents", where="--input")
    if job.shard is None and any(not view.units for view in finished):
        raise CorpusError(f"all {count:,} documents are empty", where="--input")
