"""One compressed view: made at once, or in partitions that outlive an interrupted run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...common.parallel import Setup
from ...common.progress import Progress
from ...compressors import Compressor
from ...errors import DatasetError
from ..dataset.layout import Layout
from ..dataset.manifest import CompressedView, Manifest
from ..dataset.reader import ViewReader
from .dataset import Dataset, describe
from .encode import EncodedRange, Range, encode
from .job import Job
from .learning import view_to_learn_from
from .parts import concatenate, finished_part, remove_parts
from .recipe import Recipe
from .repeat import check_samples
from .staging import PendingView, pending_views, publish_file, view_files


def make_view(job: Job, dataset: Dataset, recipe: Recipe) -> None:
    """Make the compressed view of one recipe, unless it is there already.

    Raises
    ------
    ProxyError
        Whatever the user can mend. Nothing half-made is left behind, except finished partitions.
    """
    raw = dataset.prepared.raw()
    label = f"{dataset.prefix}: reading what {recipe.name} learns from"
    compressor = recipe.make(lambda: view_to_learn_from(raw, label, job.log_interval))
    if recipe.made is None:
        check_samples(compressor, job.workers, job.worker_modules)
    if _is_there(job, dataset, compressor):
        remove_parts(dataset.layout, recipe.name)
        job.report(f"{dataset.prefix}: the {recipe.name} view is there already")
        return
    given = job.given_to(recipe.name)
    with dataset.making(compressor, None if given is None else given.described()) as pending:
        _fill(job, dataset, raw, compressor, pending)
    remove_parts(dataset.layout, recipe.name)
    codes = dataset.prepared.compressed(recipe.name).view.units
    ratio = raw.units / max(1, codes)
    job.report(f"{dataset.prefix}: {codes:,} codes in the {recipe.name} view, {ratio:.2f} bytes per code")


def check_place(job: Job, dataset: Dataset, recipe: Recipe) -> None:
    """Refuse, before the corpus is read, what :func:`make_view` would refuse after it (DatasetError)."""
    if recipe.made is not None and dataset.manifest is not None:
        _is_there(job, dataset, recipe.made)
    for path in (dataset.layout.codes(recipe.name), dataset.layout.spans(recipe.name)):
        dataset.check_free(path)


def _is_there(job: Job, dataset: Dataset, compressor: Compressor) -> bool:
    entry = dataset.prepared.manifest.compressed.get(compressor.name)
    if entry is None or job.overwrite:
        return False
    if entry.fingerprint != compressor.fingerprint:
        raise DatasetError(
            f"has a {compressor.name} view already, made with other options or another model",
            where=dataset.prefix,
            fix="choose another --output-prefix, or replace the view with --overwrite",
        )
    dataset.prepared.check(compressor.name)
    return True


def _taking(job: Job, raw: ViewReader, compressor: Compressor) -> Setup[Range, EncodedRange] | None:
    """What workers do where the codes are given."""
    given = job.given_to(compressor.name)
    return None if given is None else given.encoder(raw.path, compressor, job.shard or (0, 1))


def _fill(job: Job, dataset: Dataset, raw: ViewReader, compressor: Compressor, pending: Sequence[PendingView]) -> None:
    label = f"{dataset.prefix}: writing the {compressor.name} view"
    with Progress(label, raw.units, log_interval=job.log_interval) as progress:
        if job.partitions == 1:
            encode(raw, (0, len(raw)), compressor, pending, job.workers, progress, _taking(job, raw, compressor))
            return
        parts = [_make_part(job, dataset, raw, compressor, part, progress) for part in range(job.partitions)]
    for number, one in enumerate(pending):
        paths = [view_files(layout, compressor)[number][0] for layout, _ in parts]
        concatenate(paths, [entry.stored_views()[number] for _, entry in parts], one)


def _make_part(
    job: Job, dataset: Dataset, raw: ViewReader, compressor: Compressor, part: int, progress: Progress
) -> tuple[Layout, CompressedView]:
    """Encode one partition, unless a run before this one has finished it; returns its place and what was stored."""
    begin, end = (number * len(raw) // job.partitions for number in (part, part + 1))
    layout = dataset.layout.part(compressor.name, part, job.partitions)
    whole = dataset.prepared.manifest
    finished = finished_part(layout, compressor, whole, end - begin)
    if finished is not None:
        progress.advance(end - begin, int(raw.sequence_lengths[begin:end].sum(dtype=np.int64)))
        return layout, finished
    with pending_views(layout, compressor) as pending:
        encode(raw, (begin, end), compressor, pending, job.workers, progress, _taking(job, raw, compressor))
        stored = [one.finish() for one in pending]
        for one in pending:
            one.publish()
        entry = describe(compressor, stored, {})
        part_manifest = Manifest(end - begin, whole.raw, {compressor.name: entry})
        publish_file(layout.manifest, part_manifest.to_json().encode())
    return layout, entry
